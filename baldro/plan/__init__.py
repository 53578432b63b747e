"""What an experiment takes before it is started: runs, jobs, submissions, disk, GPU memory, GPU hours, and how each was estimated.

Counts from definitions and a GPU's data sheet (assumptions are constants of `baldro.plan.cost`, `amounts`, `memory`): good to a factor of
two for models that keep a GPU busy, and no better than an order of magnitude for small ones. Nothing is loaded, and torch is not imported.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from textwrap import wrap

from baldro.plan import amounts, cost, fits, fits_text, submissions
from baldro.plan.cpu import slow_bf16
from baldro.plan.gpus import GPU, GPUS, named
from baldro.plan.sizes import Unknown
from baldro.plan.text import hours as hours_text
from baldro.plan.text import line, size
from baldro.runs import VARIANTS, Experiment, Run

__all__ = ["GPUS", "compare", "describe", "hours", "jobs", "slow_bf16"]

SCORED = ("unlearn", "score")
"""Rules that score a model: the one that they trained, or one as it is."""
PARALLEL = (1, 4, 16)
"""Numbers of jobs at a time for which the peak of disk space is printed."""
WORK: dict[str, tuple[tuple[str, ...], Callable[[Experiment, Run, GPU], float], str]] = {
    "finetune": (("finetune",), cost.train_seconds, "6 FLOP x parameters x tokens; optimiser traffic"),
    "reference": (("reference",), cost.reference_seconds, "2 FLOP x parameters x tokens of the forget split"),
    "unlearn": (
        ("unlearn",),
        cost.train_seconds,
        "6 FLOP x parameters x tokens of both splits; more as `baldro methods` says",
    ),
    "score, answers": (SCORED, cost.candidates_seconds, "2 FLOP x parameters x tokens of all candidate answers"),
    "score, gradients": (SCORED, cost.gradients_seconds, "6 FLOP x parameters x tokens, a sample at a time"),
    "score, generation": (SCORED, cost.generation_seconds, "weights read per new token and batch, to max_new_tokens"),
}
"""What a GPU does: the rules that do it, its seconds, how they are estimated."""


def jobs(experiment: Experiment) -> dict[str, list[Run]]:
    """Runs by the rule that works on them, from nothing: as many jobs as Snakemake starts in an empty folder.

    Runs whose model others start from, whose rule is `unlearn_kept`, stand under `unlearn`. A run stands under `reference` once for each
    kind of answers that its log-probabilities are taken of.
    """
    lineage = experiment.lineage()
    trained = [run for run in experiment.runs if run.facts.trains]
    compared = dict.fromkeys((experiment.before(run), kind) for run in trained for kind in experiment.references(run))
    return {
        "finetune": [run for run in lineage if run.facts.trains and not run.facts.temporary],
        "reference": [run for run, _ in compared],
        "unlearn": trained,
        "score": [run for run in experiment.runs if not run.facts.trains],
        "metrics": list(experiment.runs),
    }


def hours(experiment: Experiment, *, gpu: str) -> dict[str, float | str]:
    """GPU hours by kind of work (the keys of WORK), or what is lacking to estimate them; of models that need a GPU.

    A job holds each of its GPUs as long as it lasts.

    Args:
        gpu: a key of GPUS.
    """
    (_, device, _), by_rule = named(gpu), _on_gpu(experiment, jobs(experiment))

    def held(run: Run, seconds: Callable[[Experiment, Run, GPU], float]) -> float:
        return seconds(experiment, run, device) * amounts.cards(experiment, run) / 3600

    return {
        work: _total(_of(by_rule, rules), lambda run, seconds=seconds: held(run, seconds))
        for work, (rules, seconds, _) in WORK.items()
    }


def describe(experiment: Experiment, *, gpu: str) -> str:
    """The plan as text.

    Args:
        gpu: a key of GPUS, with how many of them a job may use at most: *4xa100-40*; without a number, as many as `needs` say.
    """
    (name, device, cards), by_rule = named(gpu), jobs(experiment)
    held = _on_gpu(experiment, by_rule)
    found = fits.find(experiment, _training(held), device, cards=cards)
    parts = {
        "Runs": _runs(experiment, by_rule["unlearn"]),
        "Jobs": [*_jobs(experiment, by_rule, held), *filter(None, [slow_bf16(experiment)])],
        "Submissions (SLURM)": submissions.describe(experiment, by_rule, device, name),
        "Disk": _disk(experiment, by_rule),
        "GPU memory": fits_text.section(found, device, gpu),
        "GPU hours": _hours(fits.applied(experiment, fits.chosen(found)), name),
    }
    speed = f"{device.bf16 / 1e12:g} TFLOP/s in bf16, {device.fp32 / 1e12:g} in fp32, {size(device.bandwidth)}/s"
    lines = [f"Experiment {experiment.name}, from nothing", f"{name}: {size(device.memory)}, {speed}"]
    for title, text in parts.items():
        lines += ["", title, *(f"  {line}" for line in text)]
    return "\n".join(lines)


def compare(experiment: Experiment, gpus: Sequence[str]) -> str:
    """A table in Markdown: for each group of runs and each of several GPUs the first settings that fit, with memory and GPU hours.

    The hours are the whole experiment's, with these settings.

    Args:
        gpus: as `describe` takes one.
    """
    runs = _training(_on_gpu(experiment, jobs(experiment)))
    rows = []
    for text in gpus:
        name, device, cards = named(text)
        found = fits.find(experiment, runs, device, cards=cards)
        known = hours(fits.applied(experiment, fits.chosen(found)), gpu=name).values()
        total = hours_text(sum(value for value in known if not isinstance(value, str)))
        rows += fits_text.rows(found, text, total)
    return fits_text.table(rows)


def _runs(experiment: Experiment, unlearnt: list[Run]) -> list[str]:
    """A table of objectives and variants."""
    count = Counter((run.objective, run.variant) for run in unlearnt)
    objectives = list(dict.fromkeys(run.objective for run in unlearnt))
    variants = [name for name in VARIANTS if any(name == variant for _, variant in count)]
    head = f"{'':12}" + "".join(f"{name:>12}" for name in variants)
    table = [f"{name:12}" + "".join(f"{count[name, v]:>12,}" for v in variants) for name in objectives]
    rest = len(experiment.runs) - len(unlearnt)
    only_scored = dict.fromkeys(run.objective for run in experiment.runs if not run.facts.trains)
    said = f"{len(unlearnt):,} unlearning runs, and {rest:,} rows that are only scored ({', '.join(only_scored)})"
    return [said, head, *table]


def _jobs(experiment: Experiment, by_rule: dict[str, list[Run]], held: dict[str, list[Run]]) -> list[str]:
    here = submissions.local(experiment, by_rule)
    after = {rule: here.pop(rule) for rule in ("metrics", "report")} | {"all": 1}
    count = here | {rule: len(runs) for rule, runs in by_rule.items()} | after
    on_gpu = {rule for rules, _, _ in WORK.values() for rule in rules if held[rule]}
    total = sum(len(held[rule]) for rule in on_gpu)
    listed = ", ".join(f"{rule} {number:,}{'*' * (rule in on_gpu)}" for rule, number in count.items() if number)
    return [f"{sum(count.values()):,} jobs, {total:,} of them on a GPU (*)", *wrap(listed, 110)]


def _on_gpu(experiment: Experiment, by_rule: dict[str, list[Run]]) -> dict[str, list[Run]]:
    """The same, without the runs of models that need no GPU."""
    needing = {model for model in experiment.models if experiment.needs(model).gpu}
    return {rule: [run for run in runs if run.model in needing] for rule, runs in by_rule.items()}


def _of(by_rule: Mapping[str, list[Run]], rules: Sequence[str]) -> list[Run]:
    return [run for rule in rules for run in by_rule[rule]]


def _disk(experiment: Experiment, by_rule: dict[str, list[Run]]) -> list[str]:
    evidence = _total(_of(by_rule, SCORED), lambda run: amounts.evidence_bytes(experiment, run))
    lasting = _total(by_rule["finetune"], lambda run: amounts.model_bytes(experiment, run))
    every = _total(by_rule["unlearn"], lambda run: amounts.model_bytes(experiment, run))
    kept = _total(list(experiment.kept()), lambda run: amounts.model_bytes(experiment, run))
    running = _numbers(by_rule["unlearn"], lambda run: amounts.running_bytes(experiment, run))
    lines = [line("evidence of all rows", evidence, size, "candidates x tokens x 12 bytes")]
    if by_rule["finetune"]:
        lines.append(line("base, target, retain models", lasting, size, "made here and kept; downloads not counted"))
    if experiment.keep_models:
        lines.append(line("models of last requests", kept, size, "kept (keep_models)"))
    if not any(isinstance(found, str) for found in (evidence, lasting, kept, running)):
        for number in (n for n in PARALLEL if n == 1 or n <= len(running)):
            what = "two checkpoints a running job; its model is written only for others" if number == 1 else ""
            peak = evidence + lasting + kept + number * max(running, default=0)
            lines.append(line(f"at most, {number} at a time", peak, size, what))
    return [*lines, line("every unlearned model kept", every, size, "with --notemp")]


def _training(by_rule: dict[str, list[Run]]) -> list[Run]:
    return [*by_rule["finetune"], *by_rule["unlearn"]]


def _hours(experiment: Experiment, gpu: str) -> list[str]:
    by_rule = _on_gpu(experiment, jobs(experiment))
    shown = {work: value for work, value in hours(experiment, gpu=gpu).items() if _of(by_rule, WORK[work][0]) and value}
    lines = [line(work, value, hours_text, WORK[work][2]) for work, value in shown.items()]
    known = [value for value in shown.values() if not isinstance(value, str)]
    rest = "" if len(known) == len(shown) else "without what is unknown"
    read = _total(by_rule["unlearn"], lambda run: amounts.model_bytes(experiment, run))
    asked = ", tasks of lm_eval" if any(map(experiment.harness, experiment.benchmarks)) else ""
    train, score, traffic = (f"{share:.0%}" for share in (cost.TRAIN_SHARE, cost.SCORE_SHARE, cost.BANDWIDTH_SHARE))
    return [
        *lines,
        line("total", sum(known), hours_text, rest),
        f"Assumed: {train} of peak arithmetic in training, {score} in scoring, {traffic} of memory bandwidth; at least",
        f"{cost.LAUNCH * 1e3:g} ms a layer and pass; in every batch a row that generates to the limit. Not counted: loading",
        f"models to unlearn from ({read if isinstance(read, str) else size(read)} in all), starting, waiting, failed runs{asked}.",
    ]


def _numbers(runs: Iterable[Run], value: Callable[[Run], float]) -> list[float] | str:
    """Every run's value, or what is lacking to know them."""
    try:
        return [value(run) for run in runs]
    except Unknown as error:
        return str(error)


def _total(runs: Iterable[Run], value: Callable[[Run], float]) -> float | str:
    found = _numbers(runs, value)
    return found if isinstance(found, str) else sum(found)
