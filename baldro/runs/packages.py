"""Packages that only some runs need beside baldro's own; that one is missing is said before anything is trained."""

from collections.abc import Iterable
from importlib.util import find_spec

from baldro.errors import BaldroError
from baldro.runs.fields import FIELDS
from baldro.runs.run import Run

NEEDED = {("optimiser", "adamw-8bit"): "bitsandbytes", ("lora_base", "nf4"): "bitsandbytes"}
"""Field and value of a run -> the package that it needs."""


def packages_of(run: Run) -> list[str]:
    """The packages that a run needs."""
    return [package for (name, value), package in NEEDED.items() if getattr(run, name) == value]


def check_packages(runs: Iterable[Run], *, harness: bool = False) -> None:
    """Whether what runs need is installed here.

    Args:
        harness: whether tasks of lm-evaluation-harness are asked.

    Raises:
        BaldroError: a package that is not.
    """
    values = {(name, getattr(run, name)) for run in runs for name, _ in NEEDED}
    for name, value in sorted(NEEDED.keys() & values):
        package = NEEDED[name, value]
        if find_spec(package) is None:
            raise BaldroError(
                "package-not-installed",
                f"{name} {value} needs the package {package}, which is not installed here; allowed: pip install {package} (the extra "
                f"low-memory has it), or {name}: {FIELDS[name]['default']}",
            )
    if harness and find_spec("lm_eval") is None:
        raise BaldroError(
            "package-not-installed",
            "a benchmark's lm_eval needs the package lm_eval, which is not installed here; allowed: pip install lm-eval (the extra lm-eval "
            "has it), or no lm_eval",
        )
