"""Benchmark -> one table of records."""


rule benchmark:
    """All splits of a benchmark: generated, or read from a folder or the hub and checked."""
    input:
        files=ancient(data_files),
    output:
        "results/data/{benchmark}.parquet",
    log:
        "logs/benchmark/{benchmark}.log",
    benchmark:
        "logs/benchmark/{benchmark}.tsv"
    localrule: True
    params:
        definition=definition("benchmark"),
        contents=contents(data_files),
        code=code_of_benchmark,
    shell:
        "baldro benchmark --log {log} --definition {params.definition:q} --output {output}"
