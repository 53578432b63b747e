"""Benchmark -> one table of records.

A checkpoint, as all that is looked up before anything trains (models.smk): Snakemake then looks at the bytes again when it is done.
One that is made anew and comes out as it was, after a failure or an edit, makes nothing anew.
"""


checkpoint benchmark:
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
