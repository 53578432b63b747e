"""What the rules ask of the grid: the checked experiment, and functions of a run."""

import json
import re
import shlex
import sys
from pathlib import Path

from baldro.errors import BaldroError

try:  # the methods' modules are read with the grid
    from baldro.config import load
    from baldro.runs import READ, STAGES, Run, check_packages, code_of, content, fingerprint, moved, shape

    EXPERIMENT = load(config, files=workflow.configfiles)
    check_packages(EXPERIMENT.lineage(), harness=any(map(EXPERIMENT.harness, EXPERIMENT.benchmarks)))
except BaldroError as error:
    sys.exit(f"baldro: {error}")

# A signal then meets baldro itself, not a shell that dies and leaves it behind.
shell.prefix("set -euo pipefail; exec ")
OFFLINE = "env HF_HUB_OFFLINE=1"
"""Before the verb of every job that computes, here or on a cluster: what comes from the hub, the local rules have downloaded."""


def ids(wanted):
    """A pattern of the ids of runs whose stage is wanted."""
    return shape([name for name, stage in STAGES.items() if wanted(stage)])


def keep(wildcards):
    """What stays of a run's model once it is scored: nothing, the model, or with it all that another scoring needs."""
    if workflow.storage_settings.notemp:
        return "finished"
    return "model" if wildcards.run in PARENTS | STAYS else "nothing"


NONE = "(?!)"
"""A pattern that no id has."""
RUN = "results/runs/{run}"
PARENTS = {run.id for run in EXPERIMENT.parents()}
"""Runs from whose temporary models others start."""
STAYS = {run.id for run in EXPERIMENT.kept()}
"""Runs whose models stay, because a further request may start from them (keep_models)."""
LASTING = ids(lambda stage: stage.trains and not stage.temporary)
TEMPORARY = ids(lambda stage: stage.temporary)
STAYING = "|".join(map(re.escape, sorted(STAYS))) or NONE
KEPT = TEMPORARY if workflow.storage_settings.notemp else "|".join(map(re.escape, sorted(PARENTS))) or NONE
UNCHANGED = ids(lambda stage: not stage.trains)


wildcard_constraints:
    run=r"[^/]+",
    benchmark=r"[^/]+",
    model=r"[^/]+",
    part=r"[^/]+",
    kind=r"(-idk|-alternates)?",


def of(wildcards):
    """The run of a job."""
    return Run.parse(wildcards.run)


def folder(run):
    return f"results/runs/{run.id}"


def of_every_run(file):
    """A file of each run, listed only for the job that reads it: on a cluster every job has a Snakemake of its own."""
    return lambda wildcards: [f"{folder(run)}/{file}" for run in EXPERIMENT.runs]


def start(wildcards):
    """The model folder that a run starts from, if another run makes it."""
    made_by = EXPERIMENT.start(of(wildcards))
    return [f"{folder(made_by)}/model"] if made_by else []


def start_option(wildcards, input):
    """Where a run's model comes from, as the command line says it."""
    return f"--start {input.start[0]}" if input.start else f"--part {EXPERIMENT.part(of(wildcards))}"


def downloaded(wildcards):
    """What says that the weights which a run starts from are in the cache, if they come from outside: a cluster's nodes have no hub."""
    run = of(wildcards)
    part = EXPERIMENT.outside(run)
    weights = [f"results/weights/{run.model}/{part}.json"] if part else []
    return weights + tokenizer_downloaded(run)


def tokenizer_downloaded(run):
    """The same of a tokenizer that has places of its own."""
    return [f"results/weights/{run.model}/tokenizer.json"] if EXPERIMENT.tokenizer(run) else []


def records(wildcards):
    return f"results/data/{of(wildcards).benchmark}.parquet"


def description(wildcards):
    return f"results/models/{of(wildcards).model}.json"


def reference(wildcards):
    """The reference log-probabilities, for objectives that compare with them: of the answers, and of the other answers that are taught."""
    run = of(wildcards)
    suffixes = ["" if kind == "answer" else f"-{kind}" for kind in EXPERIMENT.references(run)]
    return [f"{folder(EXPERIMENT.before(run))}/reference{suffix}.parquet" for suffix in suffixes]


def reference_options(wildcards, input):
    """Where they are, as the command line says it."""
    kinds = EXPERIMENT.references(of(wildcards))
    names = ["--reference" if kind == "answer" else "--alternate-reference" for kind in kinds]
    return " ".join(f"{name} {file}" for name, file in zip(names, input.reference))


def answers_option(wildcards):
    """Which answers' log-probabilities a job takes."""
    return f"--answers {wildcards.kind[1:]}" if wildcards.kind else ""


def judge(wildcards):
    """What says which fluency classifier there is, if there is one."""
    benchmark = of(wildcards).benchmark
    return [f"results/classifiers/{benchmark}.json"] if EXPERIMENT.classifier(benchmark) else []


def setting(key, otherwise=None):
    """A key of the definition of a run's benchmark; where that has none, another value."""
    return lambda wildcards: getattr(EXPERIMENT.definition(of(wildcards).benchmark), key) or otherwise


def rows_option(wildcards):
    rows = setting("evaluate_rows")(wildcards)
    return f"--evaluate-rows {rows}" if rows else ""


def holdout_option(wildcards):
    """The split that is held out, if the benchmark names one for what is forgotten."""
    named = EXPERIMENT.holdout_split(of(wildcards))
    return f"--holdout {shlex.quote(named)}" if named else ""


def gradient_norms_option(wildcards):
    return "--gradient-norms" if EXPERIMENT.gradient_norms(of(wildcards).benchmark) else ""


def fluency_option(wildcards):
    """The fluency classifier, where there is one; the metrics say its absence."""
    return " ".join(f"--fluency {shlex.quote(file)}" for file in judge(wildcards))


def tasks(wildcards):
    """What says that the tasks of lm-evaluation-harness which a benchmark names are on this machine, if it names any."""
    benchmark = of(wildcards).benchmark
    return [f"results/tasks/{benchmark}.json"] if EXPERIMENT.harness(benchmark) else []


def tasks_option(wildcards):
    """Their place, as the command line says it."""
    return " ".join(f"--lm-eval {shlex.quote(file)}" for file in tasks(wildcards))


def tasks_batch(wildcards):
    """Their sequences in one pass."""
    asked = EXPERIMENT.harness(of(wildcards).benchmark)
    return asked.batch_size if asked else 1


def asked_tasks(wildcards):
    """`lm_eval` of a benchmark as JSON, without what changes no number."""
    return EXPERIMENT.harness(wildcards.benchmark).model_dump_json(exclude={"batch_size"}, exclude_none=True)


def code(*stages):
    """The fingerprint of stages, taken only for the jobs that they make the numbers of."""
    return lambda wildcards: fingerprint(*stages)


def code_of_benchmark(wildcards):
    """Of its own kind, no others."""
    return fingerprint("benchmark", own=(EXPERIMENT.kind_module(wildcards.benchmark),))


def code_of_reference(wildcards):
    return fingerprint("reference", *["refusals"] * (wildcards.kind == "-idk"))


def code_of_scoring(wildcards):
    own = EXPERIMENT.kind_module(of(wildcards).benchmark)
    more = ["fluency"] * bool(judge(wildcards)) + ["harness"] * bool(tasks(wildcards))
    more += ["quantised"] * bool(of(wildcards).quantised_to)
    return fingerprint("score", *more, own=(own,))


def code_of_training_and_scoring(wildcards):
    """Of both: without its model, a run that is scored anew is trained anew."""
    return f"{code_of(of(wildcards))} {code_of_scoring(wildcards)}"


def code_of_metrics(wildcards):
    return fingerprint("metrics", own=(EXPERIMENT.kind_module(of(wildcards).benchmark),))


def code_of_report(wildcards):
    """Of the kinds of its benchmarks, no others."""
    return fingerprint("report", own=tuple(sorted(map(EXPERIMENT.kind_module, EXPERIMENT.benchmarks))))


def retain_samples(wildcards):
    """The evidence of the retain model, if there is such a model."""
    run = of(wildcards)
    return [f"{folder(EXPERIMENT.retain(run))}/samples.parquet"] if EXPERIMENT.has_retain(run) else []


def needed(key):
    """A resource of a job: what its model needs, by attempt; yes is 1."""
    return lambda wildcards, attempt: int(getattr(EXPERIMENT.needs(of(wildcards).model).at(attempt), key))


def definition(kind):
    """What the verb of this name reads of a name's definition, as JSON: a change of another key makes nothing anew."""

    def of_name(wildcards):
        entry = getattr(EXPERIMENT, f"{kind}s")[wildcards[kind]]
        read = READ[kind] if kind in READ else EXPERIMENT.definition(wildcards[kind]).data_keys()
        return json.dumps({key: value for key, value in entry.items() if key in read}, sort_keys=True)

    return of_name


def data_files(wildcards):
    """The local files that a benchmark is made from, so that a changed one remakes it."""
    return EXPERIMENT.files(wildcards.benchmark)


def description_files(wildcards):
    """The local files that a model's description is made from: tokenizers, configs and chat templates."""
    return EXPERIMENT.model_files(wildcards.model)


def part_files(wildcards):
    """All local files of a part of a model, or none if it comes from the hub."""
    return EXPERIMENT.model_files(wildcards.model, wildcards.part)


def classifier_files(wildcards):
    return EXPERIMENT.classifier_files(wildcards.benchmark)


def task_files(wildcards):
    """The files of tasks of lm-evaluation-harness in a folder of the benchmark's own."""
    return EXPERIMENT.task_files(wildcards.benchmark)


def included(wildcards):
    """The configs of a paper's experiments."""
    return EXPERIMENT.included


def contents(files):
    """A hash of what is in a job's files. The files are `ancient` to Snakemake: times say neither that they are others nor that they are not."""
    return lambda wildcards: content(map(Path, files(wildcards)))
