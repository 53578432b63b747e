"""What this machine's CPU makes of a run in bf16."""

from collections.abc import Sequence
from pathlib import Path

from baldro.plan import sizes
from baldro.plan.sizes import Unknown
from baldro.plan.text import count
from baldro.runs import Experiment

CPUINFO = Path("/proc/cpuinfo")
ENOUGH = ({"avx512vl", "avx512bw", "avx512dq"}, {"bf16"})
"""Instructions with any of which torch has kernels for bf16 on a CPU (what it asks of x86-64, and of Arm, before it takes oneDNN's); with
none, its own loops are slower than fp32: a training step of the audit's models took 6 to 9 times as long, a product of matrices 28."""


SMALL = 1e9
"""Parameters below which a model may well be trained without a GPU, whatever GPU its jobs would ask a cluster for."""


def slow_bf16(experiment: Experiment) -> str | None:
    """One line if runs in bf16 would be slow on this machine's CPU.

    None where it has instructions for bf16, or does not say what it has, or every model needs a GPU.
    """
    if not _lacks_bf16(_flags()):
        return None
    runs = [run for run in experiment.lineage() if run.precision not in (None, "fp32")]
    models = [name for name in dict.fromkeys(run.model for run in runs) if _without_gpu(experiment, name)]
    if not models:
        return None
    number = count(sum(run.model in models for run in runs), "run")
    return (
        f"WARNING: without a GPU, bf16 takes 6 to 9 times as long as fp32 on this CPU: {number} of {', '.join(models)}"
    )


def _without_gpu(experiment: Experiment, model: str) -> bool:
    try:
        return not experiment.needs(model).gpu or sizes.parameters(model, experiment.models[model]) < SMALL
    except Unknown:
        return False


def _lacks_bf16(flags: Sequence[str]) -> bool:
    return bool(flags) and not any(instructions <= set(flags) for instructions in ENOUGH)


def _flags() -> list[str]:
    """Of the first core: `flags` of x86-64, `Features` of Arm; empty where there is no such file."""
    try:
        lines = CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    pairs = (line.partition(":") for line in lines)
    return next((value.split() for key, _, value in pairs if key.strip() in ("flags", "Features")), [])
