"""Is there something to unlearn: what Original and Retain know of each forget split, and whether they are distinguishable."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from baldro.analysis.frame import interval_of
from baldro.analysis.labels import REFERENCES, metric
from baldro.metrics import shown
from baldro.metrics.metric import MEMORY, TRADEOFF_Y

DISTINGUISHABLE = 0.05
"""The p-value below which Maini et al. (TOFU, 2024) call a model distinguishable from Retain."""
Ends = tuple[float, float] | None


@dataclass(frozen=True, kw_only=True)
class Known:
    """One metric of both models, with the intervals over samples."""

    name: str
    original: float
    original_ends: Ends
    retain: float
    retain_ends: Ends

    @property
    def overlap(self) -> bool:
        """Whether both have an interval and these meet."""
        a, b = self.original_ends, self.retain_ends
        return a is not None and b is not None and a[0] <= b[1] and b[0] <= a[1]


@dataclass(frozen=True, kw_only=True)
class Memory:
    """What there is to unlearn in one split."""

    split: str
    missing: tuple[str, ...] = ()
    """Of Original and Retain, those without a result; then there is nothing else."""
    known: tuple[Known, ...] = ()
    p: float | None = None
    """Forget quality of Original."""
    d: float | None = None
    """The statistic behind it."""
    d_ends: Ends = None
    sizes: tuple[int, int] | None = None
    """Samples of D of Original and of Retain, where both are known."""

    @property
    def distinguishable(self) -> bool | None:
        """Whether the models are distinguishable; None where no p-value says so."""
        return None if self.p is None else self.p < DISTINGUISHABLE


def memories(part: pd.DataFrame) -> list[Memory]:
    """Of each split. part: one benchmark and model."""
    return [_memory(split, rows) for split, rows in part.groupby("split", sort=False)]


def _memory(split: str, rows: pd.DataFrame) -> Memory:
    models = {name: rows[(rows["objective"] == name) & (rows["status"] == "ok")] for name in REFERENCES}
    missing = tuple(name.capitalize() for name, own in models.items() if own.empty)
    if missing:
        return Memory(split=split, missing=missing)
    original, retain = (own.iloc[0].to_dict() for own in models.values())
    both = [name for name in shown(MEMORY, rows.columns) if not pd.isna(original[name]) and not pd.isna(retain[name])]
    known = [
        Known(
            name=name,
            original=original[name],
            original_ends=interval_of(original, name),
            retain=retain[name],
            retain_ends=interval_of(retain, name),
        )
        for name in both
    ]
    return Memory(split=split, known=tuple(known), **_quality(original, retain, list(rows.columns)))


def _quality(original: Mapping[str, Any], retain: Mapping[str, Any], columns: list[str]) -> dict[str, Any]:
    """Original's forget quality, and the distance behind it."""
    name = next((name for name in shown(TRADEOFF_Y, columns) if metric(name).p_value), None)
    if name is None or pd.isna(original[name]):
        return {}
    distance = metric(name).statistic_behind
    if pd.isna(d := original.get(distance, float("nan"))):
        return {"p": original[name]}
    sizes = [row.get("forget_rows") for row in (original, retain)]
    found = {"p": original[name], "d": d, "d_ends": interval_of(original, distance)}
    if any(size is None or pd.isna(size) for size in sizes):
        return found
    return found | {"sizes": tuple(map(int, sizes))}
