"""runs/{run}/metrics.json, by `baldro metrics`: numbers, their intervals over samples, and what could not be computed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from baldro.errors import BaldroError
from baldro.records.store import check_run, folder, read_record, write_record

AGAIN = "`make run` recomputes metrics without scoring again"
"""How a file of another version is put right."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The metrics of a run."""

    run: str
    """Its id."""
    definitions: str
    """A hash of what the metrics mean: those of one experiment must agree."""
    metrics: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    """Metric -> its 95 % interval over samples, where it has one."""
    absent: Mapping[str, str]
    """Metric -> why it could not be computed."""


def place(results: Path, run: str) -> Path:
    """Where it is."""
    return folder(results, run) / "metrics.json"


def write(path: Path, evaluation: Evaluation) -> None:
    """Store the metrics of a run, whole or not at all."""
    write_record(path, evaluation)


def read(path: Path, *, run: str | None = None) -> Evaluation:
    """Stored metrics, of this run if one is named.

    Raises:
        BaldroError: no file of `baldro metrics`, another run's, no metrics, a number that is not finite, an interval that is none.
    """
    try:
        stored = read_record(path, Evaluation, made_by="`baldro metrics`")
        check_run(path, stored.run, run)
        intervals = _checked(path, stored.metrics, stored.intervals, stored.absent)
    except BaldroError as error:
        raise BaldroError(error.code, f"{error} ({AGAIN})") from None
    return Evaluation(
        run=stored.run,
        definitions=str(stored.definitions),
        metrics={name: float(value) for name, value in stored.metrics.items()},
        intervals=intervals,
        absent=stored.absent,
    )


def _checked(path: Path, metrics: Any, intervals: Any, absent: Any) -> dict[str, tuple[float, float]]:
    if not isinstance(metrics, dict) or not metrics:
        raise BaldroError("no-metrics", f"{path} has no metrics; allowed: {{name: number}}")
    if not isinstance(intervals, dict) or not isinstance(absent, dict):
        raise BaldroError("not-an-object", f"{path}: intervals or absent is no JSON object")
    for name, value in metrics.items():
        if not _finite(value):
            raise BaldroError("number-not-finite", f"{path}: {name} is {value!r}; allowed: a finite number")
    for name, ends in intervals.items():
        if name not in metrics or not _ends(ends):
            raise BaldroError(
                "interval-ill-formed", f"{path}: the interval of {name} is {ends!r}; allowed: [low, high]"
            )
    return {name: (float(low), float(high)) for name, (low, high) in intervals.items()}


def _finite(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, int | float) and math.isfinite(value)


def _ends(ends: Any) -> bool:
    return isinstance(ends, list) and len(ends) == 2 and all(map(_finite, ends)) and ends[0] <= ends[1]
