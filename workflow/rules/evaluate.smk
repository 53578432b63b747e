"""Model -> evidence -> numbers."""


rule score:
    """Evidence of a model as it is, per sample, candidate answer and token. What is trained is scored where it is trained (rule unlearn)."""
    input:
        records=records,
        model=description,
        start=start,
        downloaded=downloaded,
        classifier=judge,
        tasks=tasks,
    output:
        f"{RUN}/samples.parquet",
    log:
        "logs/score/{run}.log",
    benchmark:
        "logs/score/{run}.tsv"
    wildcard_constraints:
        run=UNCHANGED,
    resources:
        gpu=needed("gpu"),
        nodes=needed("nodes"),
        mem_mb=needed("mem_mb"),
        runtime=needed("score_minutes"),
        batch_tokens=needed("batch_tokens"),
        shard=needed("shard"),
        runs_per_job=needed("runs_per_job"),
        tasks_batch=tasks_batch,
    params:
        start=start_option,
        max_new_tokens=setting("max_new_tokens"),
        rows=rows_option,
        holdout=holdout_option,
        gradient_norms=gradient_norms_option,
        fluency=fluency_option,
        tasks=tasks_option,
        code=code_of_scoring,
    shell:
        "{OFFLINE} baldro score --log {log} --run {wildcards.run} --benchmark {input.records} --model {input.model} "
        "{params.start} --max-new-tokens {params.max_new_tokens} {params.rows} {params.holdout} {params.gradient_norms} {params.fluency} {params.tasks} "
        "--output {output} --batch-tokens {resources.batch_tokens} --lm-eval-batch {resources.tasks_batch} --devices {resources.gpu} --nodes {resources.nodes} --shard {resources.shard} --threads {threads}"


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
