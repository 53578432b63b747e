"""Model -> evidence -> numbers."""


rule score:
    """Evidence per sample, candidate answer and token: the only evaluation step that needs the model."""
    input:
        records=records,
        model=description,
        weights=scored,
        downloaded=downloaded_to_score,
    output:
        f"{RUN}/samples.parquet",
    log:
        "logs/score/{run}.log",
    benchmark:
        "logs/score/{run}.tsv"
    wildcard_constraints:
        run=OF_ITS_OWN,
    resources:
        gpu=needed("gpu"),
        nodes=needed("nodes"),
        mem_mb=needed("mem_mb"),
        runtime=needed("score_minutes"),
        batch_tokens=needed("batch_tokens"),
        shard=needed("shard"),
        runs_per_job=needed("runs_per_job"),
    params:
        start=lambda wildcards, input: (
            f"--start {input.weights[0]}" if input.weights else f"--part {EXPERIMENT.part(of(wildcards))}"
        ),
        max_new_tokens=setting("max_new_tokens"),
        rows=rows_option,
        holdout=holdout_option,
        gradient_norms=gradient_norms_option,
        fluency=fluency_option,
        code=code_of_scoring,
    shell:
        "{OFFLINE} baldro score --log {log} --run {wildcards.run} --benchmark {input.records} --model {input.model} "
        "{params.start} --max-new-tokens {params.max_new_tokens} {params.rows} {params.holdout} {params.gradient_norms} {params.fluency} "
        "--output {output} --batch-tokens {resources.batch_tokens} --devices {resources.gpu} --nodes {resources.nodes} --shard {resources.shard} --threads {threads}"


use rule score as rescore with:
    # Another row's model, on another split. On SLURM a job by itself: in one job with the run before it, it would stand beside
    # that run's scoring and ask for a second GPU.
    log:
        "logs/rescore/{run}.log",
    benchmark:
        "logs/rescore/{run}.tsv"
    wildcard_constraints:
        run=ON_ANOTHER_SPLIT,


rule metrics:
    """Numbers with intervals from evidence; needs no model."""
    input:
        samples=f"{RUN}/samples.parquet",
        retain=retain_samples,
    output:
        metrics=f"{RUN}/metrics.json",
        per_sample=f"{RUN}/per_sample.parquet",
    log:
        "logs/metrics/{run}.log",
    benchmark:
        "logs/metrics/{run}.tsv"
    localrule: True
    params:
        retain=lambda wildcards, input: f"--retain-samples {input.retain}" if input.retain else "",
        code=code_of_metrics,
    shell:
        "{OFFLINE} baldro metrics --log {log} --run {wildcards.run} --samples {input.samples} "
        "{params.retain} --output {output.metrics} --per-sample {output.per_sample}"
