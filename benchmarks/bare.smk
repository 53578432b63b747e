"""The jobs of a grid and nothing else: what its graph costs in Snakemake itself. `snakemake --config runs=N`, two jobs a run."""

RUNS = [f"run-{i}" for i in range(int(config["runs"]))]


rule all:
    input:
        "report.html",
        expand("runs/{run}/metrics.json", run=RUNS),


rule report:
    input:
        expand("runs/{run}/metrics.json", run=RUNS),
        expand("runs/{run}/per_sample.parquet", run=RUNS),
    output:
        "report.html",
    shell:
        "false"


rule unlearn:
    output:
        "runs/{run}/samples.parquet",
        "runs/{run}/run.json",
        "runs/{run}/train.csv",
        "runs/{run}/dynamics.parquet",
    log:
        "logs/unlearn/{run}.log",
    benchmark:
        "logs/unlearn/{run}.tsv"
    shell:
        "false"


rule metrics:
    input:
        "runs/{run}/samples.parquet",
    output:
        "runs/{run}/metrics.json",
        "runs/{run}/per_sample.parquet",
    log:
        "logs/metrics/{run}.log",
    benchmark:
        "logs/metrics/{run}.tsv"
    shell:
        "false"
