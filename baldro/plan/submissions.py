"""What an experiment asks of a cluster's queue: submissions, what each asks for, and what starting costs before any work is done."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from baldro.plan import cost, memory
from baldro.plan.gpus import GPU
from baldro.plan.sizes import Unknown
from baldro.plan.text import count, hours, limit
from baldro.runs import Experiment, Needs, Run

SNAKEMAKE, MODEL, METRICS = 1.6, 4.7, 1.7
"""CPU seconds before any work: of a job's own Snakemake (9.27, rules whose commands do nothing), of `baldro train` or `baldro
score` (torch 2.13 and transformers 5.23 are imported), and of all of `baldro metrics`. Measured as user and system time, on one thread,
in an experiment with a model of 10,000 parameters whose training takes 0.02 s; repetitions lie within 6 %."""


def submitted(experiment: Experiment, by_rule: Mapping[str, Sequence[Run]]) -> dict[str, int]:
    """SLURM jobs by kind, from nothing: at least so many, as what is packed must be ready at the same time.

    Args:
        by_rule: runs by the rule that works on them (`baldro.plan.jobs`).
    """
    return {
        "finetune": len(by_rule["finetune"]),
        "reference": len(by_rule["reference"]),
        "unlearn": _packs(experiment, by_rule["unlearn"]),
        "score": _packs(experiment, by_rule["score"]),
    }


def local(experiment: Experiment, by_rule: Mapping[str, Sequence[Run]]) -> dict[str, int]:
    """Steps by rule that stay on the submitting machine."""
    outside = {(run.model, experiment.outside(run)) for run in experiment.lineage() if experiment.outside(run)}
    outside |= {(run.model, "tokenizer") for run in experiment.lineage() if experiment.tokenizer(run)}
    judges = [name for name in experiment.benchmarks if (experiment.classifier(name) or "").startswith("hub:")]
    return {
        "benchmark": len(experiment.benchmarks),
        "model": len(experiment.models),
        "weights": len(outside),
        "classifier": len(judges),
        "tasks": sum(experiment.harness(name) is not None for name in experiment.benchmarks),
        "metrics": len(by_rule["metrics"]),
        "report": 1,
    }


def starting(by_rule: Mapping[str, Sequence[Run]]) -> tuple[float, float]:
    """CPU seconds that all starts take: on the nodes, a Snakemake for each member of a job; and on the submitting machine."""
    jobs = sum(len(by_rule[rule]) for rule in ("finetune", "reference", "unlearn", "score"))
    return jobs * (SNAKEMAKE + MODEL), len(by_rule["metrics"]) * METRICS


def describe(experiment: Experiment, by_rule: Mapping[str, Sequence[Run]], device: GPU, gpu: str) -> list[str]:
    """The section's lines."""
    queue, here = submitted(experiment, by_rule), local(experiment, by_rule)
    nodes, machine = (hours(seconds / 3600) for seconds in starting(by_rule))
    lines = [
        f"at least {sum(queue.values()):,} jobs in the queue: {_listed(queue)}",
        f"{sum(here.values()):,} steps on the submitting machine: {_listed(here)}",
        f"a run costs {SNAKEMAKE + MODEL:.0f} s of one core before its work (Snakemake {SNAKEMAKE:g}, loading libraries "
        f"{MODEL:g}), {nodes} in all: runs",
        f"that share a job share its wait in the queue and its start by SLURM, not these; metrics take {machine} here",
    ]
    for model in experiment.models:
        needs = experiment.needs(model)
        lines.append(f"{model:20} {asked(needs)}")
        lines += [f"  WARNING: {text}" for text in warnings(experiment, model, by_rule, device, gpu)]
    return lines


def asked(needs: Needs) -> str:
    """What a model's jobs ask for, in words: *1 GPU, 96 GB of the node, 1 h to train, 1 h to score; 4 runs a job: 8 h*."""
    pack = needs.runs_per_job * (needs.train_minutes + needs.score_minutes)
    times = f"{limit(needs.train_minutes)} to train, {limit(needs.score_minutes)} to score"
    runs = f"{count(needs.runs_per_job, 'run')} a job: {limit(pack)}"
    held = f"{needs.nodes} nodes with {count(needs.gpu, 'GPU')} each" if needs.nodes > 1 else count(needs.gpu, "GPU")
    return f"{held}, {needs.mem_mb / 1000:g} GB of the node, {times}; {runs}"


def warnings(
    experiment: Experiment, model: str, by_rule: Mapping[str, Sequence[Run]], device: GPU, gpu: str
) -> list[str]:
    """Where a model's needs are less than what the plan estimates; nothing where that is unknown, which other sections say."""
    needs = experiment.needs(model)
    trained = [run for rule in ("finetune", "unlearn") for run in by_rule[rule] if run.model == model]
    rows = [run for run in by_rule["metrics"] if run.model == model]
    compared = [run for run in by_rule["reference"] if run.model == model]
    try:
        node = max((memory.node_bytes(experiment, run) for run in trained), default=0.0)
        train = max((cost.train_seconds(experiment, run, device) for run in trained), default=0.0)
        score = max(cost.score_seconds(experiment, run, device) for run in rows)
        reference = max((cost.reference_seconds(experiment, run, device) for run in compared), default=0.0)
    except Unknown:
        return []
    found = []
    if node > needs.mem_mb * 1e6:
        what = "resuming from a checkpoint" if needs.gpu else "training"
        found.append(f"mem_mb: {needs.mem_mb} is less than the {node / 1e6:,.0f} that {what} takes")
    estimated = {"train_minutes": train, "score_minutes": max(score, reference)} if needs.gpu else {}
    for key, seconds in estimated.items():
        if seconds > 60 * getattr(needs, key):
            found.append(f"{key}: {getattr(needs, key)} is less than the {seconds / 60:,.0f} estimated on one {gpu}")
    return found


def _packs(experiment: Experiment, runs: Iterable[Run]) -> int:
    by_model = Counter(run.model for run in runs)
    return sum(math.ceil(number / experiment.needs(model).runs_per_job) for model, number in by_model.items())


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in counts.items() if number)
