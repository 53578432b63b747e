"""Model -> where it comes from; base, target and retain models."""


rule model:
    """Look up a model's places and try its prompt, before anything is trained on it."""
    input:
        files=ancient(description_files),
    output:
        "results/models/{model}.json",
    log:
        "logs/model/{model}.log",
    benchmark:
        "logs/model/{model}.tsv"
    localrule: True
    resources:
        max_new_tokens=lambda wildcards: EXPERIMENT.most_new_tokens(wildcards.model),  # checked, and in no output
    params:
        definition=definition("model"),
        contents=contents(description_files),
        code=code("model"),
    shell:
        "baldro model --log {log} --name {wildcards.model} --definition {params.definition:q} "
        "--max-new-tokens {resources.max_new_tokens} --output {output}"


rule weights:
    """Bring weights that come from outside into the cache of this machine, before any job needs them: a cluster's nodes have no hub."""
    input:
        model="results/models/{model}.json",
        files=ancient(part_files),
    output:
        "results/weights/{model}/{part}.json",
    log:
        "logs/weights/{model}--{part}.log",
    benchmark:
        "logs/weights/{model}--{part}.tsv"
    localrule: True
    params:
        contents=contents(part_files),
    shell:
        "baldro download --log {log} --model {input.model} --part {wildcards.part} --output {output}"


rule classifier:
    """The same for a benchmark's fluency classifier."""
    input:
        files=ancient(classifier_files),
    output:
        "results/classifiers/{benchmark}.json",
    log:
        "logs/classifier/{benchmark}.log",
    benchmark:
        "logs/classifier/{benchmark}.tsv"
    localrule: True
    params:
        place=lambda wildcards: EXPERIMENT.classifier(wildcards.benchmark),
        contents=contents(classifier_files),
    shell:
        "baldro download --log {log} --place {params.place:q} --output {output}"


rule tasks:
    """The tasks of lm-evaluation-harness that a benchmark names: whether there are such, and their data, for a cluster's nodes have no hub."""
    input:
        files=ancient(task_files),
    output:
        "results/tasks/{benchmark}.json",
    log:
        "logs/tasks/{benchmark}.log",
    benchmark:
        "logs/tasks/{benchmark}.tsv"
    priority: 1  # a task that is not there is said before anything trains
    localrule: True
    params:
        definition=asked_tasks,
        contents=contents(task_files),
    shell:
        "baldro tasks --log {log} --definition {params.definition:q} --output {output}"


rule finetune:
    """Train a base model from scratch, or finetune one into the target or a retain model."""
    input:
        records=records,
        model=description,
        start=start,
        downloaded=downloaded,
    output:
        model=directory(f"{RUN}/model"),
        info=f"{RUN}/run.json",
        steps=f"{RUN}/train.csv",
        dynamics=f"{RUN}/dynamics.parquet",
    log:
        "logs/finetune/{run}.log",
    benchmark:
        "logs/finetune/{run}.tsv"
    wildcard_constraints:
        run=LASTING,
    threads: lambda wildcards: 2 if of(wildcards).stage == "pretrain" else 1  # a base model is trained alone
    resources:
        gpu=needed("gpu"),
        nodes=needed("nodes"),
        mem_mb=needed("mem_mb"),
        runtime=needed("train_minutes"),
        micro_batch=needed("micro_batch"),
        gradient_checkpointing=needed("gradient_checkpointing"),
        shard=needed("shard"),
    params:
        start=start_option,
        run=lambda wildcards: of(wildcards).hyperparameters(),  # a changed default is a changed run
        code=lambda wildcards: code_of(of(wildcards)),
    shell:
        "{OFFLINE} baldro train --log {log} --run {wildcards.run} --benchmark {input.records} --model {input.model} "
        "{params.start} --output results/runs/{wildcards.run} "
        "--micro-batch {resources.micro_batch} --gradient-checkpointing {resources.gradient_checkpointing} "
        "--devices {resources.gpu} --nodes {resources.nodes} --shard {resources.shard} --threads {threads}"


rule reference:
    """Log-probabilities of the forget answers before unlearning: once per model, split and kind, read by every run that compares with them."""
    input:
        records=records,
        model=description,
        start=start,
        downloaded=downloaded,
    output:
        f"{RUN}/reference{{kind}}.parquet",
    log:
        "logs/reference/{run}{kind}.log",
    benchmark:
        "logs/reference/{run}{kind}.tsv"
    wildcard_constraints:
        run=UNCHANGED,
    resources:
        gpu=needed("gpu"),
        nodes=needed("nodes"),
        mem_mb=needed("mem_mb"),
        runtime=needed("score_minutes"),
        batch_tokens=needed("batch_tokens"),
        shard=needed("shard"),
    params:
        start=start_option,
        answers=answers_option,
        code=code_of_reference,
    shell:
        "{OFFLINE} baldro reference --log {log} --run {wildcards.run} --benchmark {input.records} --model {input.model} "
        "{params.start} {params.answers} --output {output} --batch-tokens {resources.batch_tokens} "
        "--devices {resources.gpu} --nodes {resources.nodes} --shard {resources.shard} --threads {threads}"
