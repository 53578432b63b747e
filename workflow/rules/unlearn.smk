"""One run of the grid -> its model, which is deleted once it is scored and what starts from it has been made (--notemp keeps it)."""


rule unlearn:
    """Unlearn a forget split from the target model."""
    input:
        records=records,
        model=description,
        start=start,
        downloaded=downloaded,
        reference=reference,
    output:
        model=temp(directory(f"{RUN}/model")),
        info=f"{RUN}/run.json",
        steps=f"{RUN}/train.csv",
        dynamics=f"{RUN}/dynamics.parquet",
    log:
        "logs/unlearn/{run}.log",
    benchmark:
        "logs/unlearn/{run}.tsv"
    wildcard_constraints:
        run=TEMPORARY,
    resources:
        gpu=needed("gpu"),
        nodes=needed("nodes"),
        mem_mb=needed("mem_mb"),
        runtime=needed("train_minutes"),
        micro_batch=needed("micro_batch"),
        gradient_checkpointing=needed("gradient_checkpointing"),
        shard=needed("shard"),
        runs_per_job=needed("runs_per_job"),
        max_new_tokens=new_tokens,
        evaluate_rows=setting("evaluate_rows", 0),
    params:
        start=start_option,
        retain=lambda wildcards: EXPERIMENT.retain_split(of(wildcards)),
        reference=reference_options,
        run=lambda wildcards: of(wildcards).hyperparameters(),  # a changed default is a changed run
        code=lambda wildcards: code_of(of(wildcards)),
    shell:
        "{OFFLINE} baldro train --log {log} --run {wildcards.run} --benchmark {input.records} --model {input.model} "
        "{params.start} --retain-split {params.retain} {params.reference} --output results/runs/{wildcards.run} "
        "--micro-batch {resources.micro_batch} --gradient-checkpointing {resources.gradient_checkpointing} "
        "--devices {resources.gpu} --nodes {resources.nodes} --shard {resources.shard} "
        "--max-new-tokens {resources.max_new_tokens} --evaluate-rows {resources.evaluate_rows} --threads {threads}"


use rule unlearn as follow with:
    # Another row's model -> a further one: an attack, a second request. On SLURM a job by itself: in one job with the run
    # before it, it would stand beside that run's scoring and ask for a second GPU.
    log:
        "logs/follow/{run}.log",
    benchmark:
        "logs/follow/{run}.tsv"
    wildcard_constraints:
        run=FOLLOWING,
