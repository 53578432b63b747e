"""All runs of the experiment -> tables, figures and one page. After a failure too: what failed is a row that says so."""

CONFIG = shlex.quote(json.dumps(config))
REPORT = f"results/reports/{EXPERIMENT.name}/report.html"


rule report:
    """Tables (csv, md, tex), figures (pdf, png) and report.html."""
    input:
        metrics=of_every_run("metrics.json"),
        per_sample=of_every_run("per_sample.parquet"),
    output:
        REPORT,
    log:
        f"logs/report/{EXPERIMENT.name}.log",
    benchmark:
        f"logs/report/{EXPERIMENT.name}.tsv"
    localrule: True
    params:
        config=lambda wildcards: json.dumps(config),  # a function: a prompt's {question} is no wildcard
        included=contents(included),
        code=code_of_report,
    shell:
        "baldro report --log {log} --config {params.config:q}"


onsuccess:
    if Path(REPORT).is_file():  # else a part of an experiment was asked for (--until)
        shell("baldro summary --config {CONFIG}")


onerror:
    shell("baldro report --config {CONFIG} --allow-missing")
    shell("baldro summary --config {CONFIG}")
