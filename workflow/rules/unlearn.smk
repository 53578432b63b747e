"""One run of the grid -> its evidence, in one process. Its model is written only if other runs start from it or may, or with --notemp."""


rule unlearn:
    """Unlearn a forget split from the target model, and score what is left."""
    input:
        records=records,
        model=description,
        start=start,
        downloaded=downloaded,
        reference=reference,
        classifier=judge,
        tasks=tasks,
    output:
        samples=f"{RUN}/samples.parquet",
        info=f"{RUN}/run.json",
        steps=f"{RUN}/train.csv",
        dynamics=f"{RUN}/dynamics.parquet",
    log:
        "logs/unlearn/{run}.log",
    benchmark:
        "logs/unlearn/{run}.tsv"
    wildcard_constraints:
        run=f"(?!(?:{KEPT}|{STAYING})/)(?:{TEMPORARY})",
    resources:
        gpu=needed("gpu"),
        nodes=needed("nodes"),
        mem_mb=needed("mem_mb"),
        runtime=needed("minutes"),
        keep=keep,
        micro_batch=needed("micro_batch"),
        gradient_checkpointing=needed("gradient_checkpointing"),
        shard=needed("shard"),
        batch_tokens=needed("batch_tokens"),
        runs_per_job=needed("runs_per_job"),
        tasks_batch=tasks_batch,
    params:
        start=start_option,
        retain=lambda wildcards: EXPERIMENT.retain_split(of(wildcards)),
        reference=reference_options,
        run=lambda wildcards: of(wildcards).hyperparameters(),  # a changed default is a changed run
        max_new_tokens=setting("max_new_tokens"),
        rows=rows_option,
        holdout=holdout_option,
        gradient_norms=gradient_norms_option,
        fluency=fluency_option,
        tasks=tasks_option,
        code=code_of_training_and_scoring,
    shell:
        "{OFFLINE} baldro train --log {log} --run {wildcards.run} --benchmark {input.records} --model {input.model} "
        "{params.start} --retain-split {params.retain} {params.reference} --output results/runs/{wildcards.run} "
        "--samples {output.samples} --keep {resources.keep} "
        "--max-new-tokens {params.max_new_tokens} {params.rows} {params.holdout} {params.gradient_norms} {params.fluency} {params.tasks} "
        "--micro-batch {resources.micro_batch} --gradient-checkpointing {resources.gradient_checkpointing} "
        "--devices {resources.gpu} --nodes {resources.nodes} --shard {resources.shard} "
        "--batch-tokens {resources.batch_tokens} --lm-eval-batch {resources.tasks_batch} --threads {threads}"


use rule unlearn as unlearn_kept with:
    # Its model is written too: others start from it, and then it is deleted; or --notemp.
    output:
        samples=f"{RUN}/samples.parquet",
        model=temp(directory(f"{RUN}/model")),
        info=f"{RUN}/run.json",
        steps=f"{RUN}/train.csv",
        dynamics=f"{RUN}/dynamics.parquet",
    log:
        "logs/unlearn_kept/{run}.log",
    benchmark:
        "logs/unlearn_kept/{run}.tsv"
    wildcard_constraints:
        run=f"(?!(?:{STAYING})/)(?:{KEPT})",


use rule unlearn as unlearn_lasting with:
    # And here it stays, because a further request may start from it (keep_models).
    output:
        samples=f"{RUN}/samples.parquet",
        model=directory(f"{RUN}/model"),
        info=f"{RUN}/run.json",
        steps=f"{RUN}/train.csv",
        dynamics=f"{RUN}/dynamics.parquet",
    log:
        "logs/unlearn_lasting/{run}.log",
    benchmark:
        "logs/unlearn_lasting/{run}.tsv"
    wildcard_constraints:
        run=STAYING,
