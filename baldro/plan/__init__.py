"""What an experiment takes before it is started: runs, jobs, submissions, disk, GPU memory, GPU hours, and how each was estimated.

Counts from definitions and a GPU's data sheet (`baldro.plan.cost` has every assumption as a constant): good to a factor of two for models
that keep a GPU busy, and no better than an order of magnitude for small ones. Nothing is loaded, and torch is not imported.
"""

from collections import Counter
from collections.abc import Callable, Iterable

from baldro.errors import unknown
from baldro.plan import cost, submissions
from baldro.plan.cost import GPU, GPUS
from baldro.plan.cpu import slow_bf16
from baldro.plan.sizes import Unknown
from baldro.plan.text import count, line, size
from baldro.plan.text import hours as hours_text
from baldro.runs import VARIANTS, Experiment, Needs, Run

__all__ = ["GPUS", "describe", "hours", "jobs", "slow_bf16"]

PARALLEL = (1, 4, 16)
"""Numbers of jobs at a time for which the peak of disk space is printed."""
WORK: dict[str, tuple[str, Callable[[Experiment, Run, GPU], float], str]] = {
    "finetune": ("finetune", cost.train_seconds, "6 FLOP x parameters x tokens; optimiser traffic"),
    "reference": ("reference", cost.reference_seconds, "2 FLOP x parameters x tokens of the forget split"),
    "unlearn": (
        "unlearn",
        cost.train_seconds,
        "6 FLOP x parameters x tokens of both splits; more as `baldro methods` says",
    ),
    "score, answers": ("score", cost.candidates_seconds, "2 FLOP x parameters x tokens of all candidate answers"),
    "score, gradients": ("score", cost.gradients_seconds, "6 FLOP x parameters x tokens, a sample at a time"),
    "score, generation": ("score", cost.generation_seconds, "weights read per new token and batch, to max_new_tokens"),
}
"""What a GPU does: the rule that does it, its seconds, how they are estimated."""


def jobs(experiment: Experiment) -> dict[str, list[Run]]:
    """Runs by the rule that works on them, from nothing: as many jobs as Snakemake starts in an empty folder.

    Runs that start from another row's model, whose rule is `follow`, stand under `unlearn`. A run stands under `reference` once for each
    kind of answers that its log-probabilities are taken of.
    """
    lineage = experiment.lineage()
    trained = [run for run in experiment.runs if run.facts.trains]
    compared = dict.fromkeys((experiment.before(run), kind) for run in trained for kind in experiment.references(run))
    return {
        "finetune": [run for run in lineage if run.facts.trains and not run.facts.temporary],
        "reference": [run for run, _ in compared],
        "unlearn": trained,
        "score": list(experiment.runs),
        "metrics": list(experiment.runs),
    }


def hours(experiment: Experiment, *, gpu: str) -> dict[str, float | str]:
    """GPU hours by kind of work (the keys of WORK), or what is lacking to estimate them; of models that need a GPU.

    Args:
        gpu: a key of GPUS.
    """
    device, by_rule = _gpu(gpu), _on_gpu(experiment, jobs(experiment))
    return {
        work: _total(by_rule[rule], lambda run, seconds=seconds: seconds(experiment, run, device) / 3600)
        for work, (rule, seconds, _) in WORK.items()
    }


def describe(experiment: Experiment, *, gpu: str) -> str:
    """The plan as text.

    Args:
        gpu: a key of GPUS.
    """
    device, by_rule = _gpu(gpu), jobs(experiment)
    held = _on_gpu(experiment, by_rule)
    parts = {
        "Runs": _runs(experiment, by_rule["unlearn"]),
        "Jobs": [*_jobs(experiment, by_rule, held), *filter(None, [slow_bf16(experiment)])],
        "Submissions (SLURM)": submissions.describe(experiment, by_rule, device, gpu),
        "Disk": _disk(experiment, by_rule),
        "GPU memory": _memory(experiment, held, device, gpu),
        "GPU hours": _hours(experiment, gpu, held),
    }
    speed = f"{device.bf16 / 1e12:g} TFLOP/s in bf16, {device.fp32 / 1e12:g} in fp32, {size(device.bandwidth)}/s"
    lines = [f"Experiment {experiment.name}, from nothing, one GPU a job", f"{gpu}: {size(device.memory)}, {speed}"]
    for title, text in parts.items():
        lines += ["", title, *(f"  {line}" for line in text)]
    return "\n".join(lines)


def _runs(experiment: Experiment, unlearnt: list[Run]) -> list[str]:
    """A table of objectives and variants."""
    count = Counter((run.objective, run.variant) for run in unlearnt)
    objectives = list(dict.fromkeys(run.objective for run in unlearnt))
    variants = [name for name in VARIANTS if any(name == variant for _, variant in count)]
    head = f"{'':12}" + "".join(f"{name:>12}" for name in variants)
    table = [f"{name:12}" + "".join(f"{count[name, v]:>12,}" for v in variants) for name in objectives]
    rest = len(experiment.runs) - len(unlearnt)
    return [f"{len(unlearnt):,} unlearning runs, and {rest:,} rows to compare with (original, retain)", head, *table]


def _jobs(experiment: Experiment, by_rule: dict[str, list[Run]], held: dict[str, list[Run]]) -> list[str]:
    here = submissions.local(experiment, by_rule)
    after = {rule: here.pop(rule) for rule in ("metrics", "report")} | {"all": 1}
    count = here | {rule: len(runs) for rule, runs in by_rule.items()} | after
    on_gpu = {rule for rule, _, _ in WORK.values() if held[rule]}
    total = sum(len(held[rule]) for rule in on_gpu)
    listed = ", ".join(f"{rule} {number:,}{'*' * (rule in on_gpu)}" for rule, number in count.items() if number)
    return [f"{sum(count.values()):,} jobs, {total:,} of them on a GPU (*)", listed]


def _on_gpu(experiment: Experiment, by_rule: dict[str, list[Run]]) -> dict[str, list[Run]]:
    """The same, without the runs of models that need no GPU."""
    needing = {model for model in experiment.models if experiment.needs(model).gpu}
    return {rule: [run for run in runs if run.model in needing] for rule, runs in by_rule.items()}


def _disk(experiment: Experiment, by_rule: dict[str, list[Run]]) -> list[str]:
    evidence = _total(by_rule["score"], lambda run: cost.evidence_bytes(experiment, run))
    lasting = _total(by_rule["finetune"], lambda run: cost.model_bytes(experiment, run))
    every = _total(by_rule["unlearn"], lambda run: cost.model_bytes(experiment, run))
    running = _numbers(by_rule["unlearn"], lambda run: cost.running_bytes(experiment, run))
    lines = [line("evidence of all rows", evidence, size, "candidates x tokens x 12 bytes")]
    if by_rule["finetune"]:
        lines.append(line("base, target, retain models", lasting, size, "made here and kept; downloads not counted"))
    if not any(isinstance(found, str) for found in (evidence, lasting, running)):
        for number in (n for n in PARALLEL if n == 1 or n <= len(running)):
            what = "two checkpoints a running job; models are deleted once scored" if number == 1 else ""
            peak = evidence + lasting + number * max(running)
            lines.append(line(f"at most, {number} at a time", peak, size, what))
    return [*lines, line("every unlearned model kept", every, size, "with --notemp")]


def _memory(experiment: Experiment, held: dict[str, list[Run]], device: GPU, gpu: str) -> list[str]:
    """A line per model and precision, of the run that needs most; a warning where it is more than there is."""
    lines, kinds = [], dict.fromkeys((run.model, run.precision) for run in held["unlearn"])
    for model, precision in kinds:
        runs = [run for run in held["unlearn"] if (run.model, run.precision) == (model, precision)]
        found = _numbers(runs, lambda run: cost.memory(experiment, run))
        most = found if isinstance(found, str) else max(found)
        needs = experiment.needs(model)
        counted = cost.of_state(min(runs, key=lambda run: run.lora_rank is not None))  # all weights take more
        how = f"unlearn: {counted}; activations of at most {count(needs.micro_batch, 'sequence')}"
        lines.append(line(f"{model}, {precision}", most, size, how))
        if not isinstance(most, str) and most > device.memory:
            lines.append(f"WARNING: more than the {size(device.memory)} of one {gpu}")
            lines += [f"  {text}" for text in _less(experiment, runs, needs)]
    return lines or ["no model needs a GPU"]


def _less(experiment: Experiment, runs: list[Run], needs: Needs) -> list[str]:
    """What would take less, each with those before it: smaller passes (8 sequences, or 1 where 8 are too much for each GPU),
    activations that are computed again, bf16 alone.
    """

    def need(**options) -> float:
        return max(cost.memory(experiment, run, **options) for run in runs)

    most = max(device.memory for device in GPUS.values())
    fewer = min(needs.micro_batch, 8 if need(micro_batch=8) <= most else 1)
    ways = [
        (f"micro_batch: {fewer} in the model's needs", {"micro_batch": fewer}, fewer < needs.micro_batch),
        (
            "gradient_checkpointing: true in the model's needs, a third slower",
            {"gradient_checkpointing": True},
            not needs.gradient_checkpointing,
        ),
        ("precision: bf16-only, which changes the numbers", {"precision": "bf16-only"}, True),
    ]
    lines, taken = [], {}
    for way, option, helps in ways:
        if not helps:
            continue
        start, taken = "... and" if taken else "with", taken | option
        fits = [name for name, device in GPUS.items() if device.memory >= need(**taken)]
        lines.append(
            f"{start} {way}: {size(need(**taken))} ({', '.join(fits) or 'too much for each GPU in the table'})"
        )
    return lines


def _hours(experiment: Experiment, gpu: str, by_rule: dict[str, list[Run]]) -> list[str]:
    shown = {work: value for work, value in hours(experiment, gpu=gpu).items() if by_rule[WORK[work][0]] and value}
    lines = [line(work, value, hours_text, WORK[work][2]) for work, value in shown.items()]
    known = [value for value in shown.values() if not isinstance(value, str)]
    rest = "" if len(known) == len(shown) else "without what is unknown"
    moved = _total(by_rule["unlearn"], lambda run: 3 * cost.model_bytes(experiment, run))
    train, score, traffic = (f"{share:.0%}" for share in (cost.TRAIN_SHARE, cost.SCORE_SHARE, cost.BANDWIDTH_SHARE))
    return [
        *lines,
        line("total", sum(known), hours_text, rest),
        f"Assumed: {train} of peak arithmetic in training, {score} in scoring, {traffic} of memory bandwidth; at least",
        f"{cost.LAUNCH * 1e3:g} ms a layer and pass; in every batch a row that generates to the limit. Not counted: loading and",
        f"saving unlearned models ({moved if isinstance(moved, str) else size(moved)} moved in all), starting, waiting, failed runs.",
    ]


def _gpu(name: str) -> GPU:
    if name not in GPUS:
        raise unknown("GPU", name, GPUS)
    return GPUS[name]


def _numbers(runs: Iterable[Run], value: Callable[[Run], float]) -> list[float] | str:
    """Every run's value, or what is lacking to know them."""
    try:
        return [value(run) for run in runs]
    except Unknown as error:
        return str(error)


def _total(runs: Iterable[Run], value: Callable[[Run], float]) -> float | str:
    found = _numbers(runs, value)
    return found if isinstance(found, str) else sum(found)
