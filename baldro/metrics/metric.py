"""What a metric says of itself, and the registry: a file in this folder that calls `register` adds a metric everywhere.

Nothing here imports the rest of the room, so that every file of it may import this one.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from baldro.benchmarks import KINDS, forms
from baldro.errors import BaldroError, unknown

if TYPE_CHECKING:
    from baldro.metrics.evidence import Evidence

MAIN = "main table"
SECOND = "second table"
COMPARISON = "comparison"
SENTENCE = "sentence"
EFFECT = "effect"
STRENGTH = "strength figure"
TRADEOFF_X, TRADEOFF_Y = "trade-off figure, x", "trade-off figure, y"
MEMORY = "memory"
ROLES = {
    MAIN: "a column of the main table, after those that the benchmark names",
    SECOND: "a column of the second table, *membership and collapse*",
    COMPARISON: "every robust variant is compared with its base in it",
    SENTENCE: "the findings say how robust variants differ from their base in it; needs COMPARISON",
    EFFECT: "the usual metrics of an attribution",
    STRENGTH: "a row of panels in the figures of a variant's strength",
    TRADEOFF_X: "the horizontal axis of the trade-off figure: the first that the results have",
    TRADEOFF_Y: "its vertical axis",
    MEMORY: "the findings give it for Original and Retain, to show what was memorised",
}
"""Where a metric can be shown."""

Halves = Sequence[tuple[np.ndarray, np.ndarray]]
"""Per group of `Paired`: (K, S, N) values of K quantities of S seeds on N samples, of one method and of the other."""
Differences = Callable[[np.ndarray], np.ndarray]
"""(R, N) booleans, true where the two methods' values of a sample are swapped -> (R,) difference of the statistic."""


@dataclass(frozen=True, kw_only=True)
class Value:
    """A metric's value, and what it was made of."""

    value: float
    per_sample: pd.Series | None = None
    """By sample index; `value` is their mean where the metric is one."""
    parts: tuple[np.ndarray, ...] = ()
    """What a resample needs: (r, r of retain) of a distance, empty where their samples are not the same;
    (members, others) of an AUC, of a leak with a row for the model and one for the retain model where there is one; one
    (3, N) array a section of the utility."""


@dataclass(frozen=True, kw_only=True)
class Paired:
    """How two methods are compared on the same samples: a permutation test of a statistic of per-sample values."""

    values: tuple[tuple[str, ...], ...]
    """Names of the per-sample values; those of one group are of the same samples."""
    differences: Callable[[Halves, np.ndarray | None], Differences] | None = None
    """(values, those of the retain model) -> the statistic's difference under relabellings. None: the mean of the one quantity."""
    retain: bool = False
    """Whether the statistic is taken against the retain model's values."""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for group in self.values for name in group)


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """How a metric's values per sample of Original and Retain are drawn."""

    axis: str
    text: str
    """In the figure's caption: how to read it."""
    place: float
    """The figure shows the first two that the results have."""
    values: str = ""
    """Name of the per-sample values, by default the metric's."""
    log: bool = False
    """A logarithmic axis, with D marked; otherwise values are shares."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """What a number is and where it is shown."""

    name: str
    define: Callable[["Evidence", "Evidence | None"], Value]
    """(the model's evidence, the retain model's) -> value; raises `Absent`, through the evidence, where that lacks a column."""
    label: str
    """In sentences and on axes."""
    short: str
    """At the head of a column."""
    better: str = ""
    """up, down, or empty where neither direction is better."""
    low: float = 0.0
    high: float = 1.0
    """Range."""
    unit: str = ""
    """Empty: a share, probability or statistic without a unit."""
    source: str
    kinds: tuple[str, ...] = ()
    """Kinds of benchmark that have it, and all their forms, beside those that name it among their metrics."""
    p_value: bool = False
    """Two significant digits, a logarithmic axis, no t interval over seeds."""
    statistic_behind: str = ""
    """Of a p-value: the metric that is its test's statistic and says the same without depending on the number of samples."""
    retain_itself: float | None = None
    """Retain's own value where the metric compares with Retain: by construction, so it says nothing."""
    interval: Callable[["Metric", Value, float], tuple[float, float] | None] | None = None
    """(this metric, its value, level) -> ends of the confidence interval over samples (`intervals`); None: it has none."""
    paired: Paired | None = None
    """Its paired test over samples; None: it has none."""
    samples: str = ""
    """Name of its per-sample values in per_sample.parquet where that is not the metric's own."""
    shown: Mapping[str, float] = field(default_factory=dict)
    """Role (`ROLES`) -> place among the metrics in it, lowest first."""
    distribution: Distribution | None = None

    def of(self, kind: str) -> bool:
        """Whether a kind of benchmark has it."""
        return self.name in KINDS[kind].metrics or not {*self.kinds}.isdisjoint(forms(kind))

    @property
    def arrow(self) -> str:
        """The better direction as a sign: ↑, ↓ or nothing."""
        return {"up": "↑", "down": "↓", "": ""}[self.better]


METRICS: dict[str, Metric] = {}
"""Every metric by name, in the order of the long table: the catalogue's, then those of other files."""


FAMILIES: dict[str, Callable[[str], Metric]] = {}
"""Beginning of names -> what makes the metric of such a name: of those that no file can list."""


def find(name: str) -> Metric | None:
    """The metric of a name, of the registry or of a family; None: there is none."""
    if name in METRICS:
        return METRICS[name]
    return next((make(name) for beginning, make in FAMILIES.items() if name.startswith(beginning)), None)


def register(*metrics: Metric) -> None:
    """Add metrics to the registry.

    Raises:
        BaldroError: a name that is taken; a role, direction or range that does not exist.
    """
    for metric in metrics:
        where = f"metric {metric.name}"
        if metric.name in METRICS:
            raise BaldroError("registered-twice", f"{where} is registered twice; allowed: a name of its own")
        for role in metric.shown:
            if role not in ROLES:
                raise unknown("role", role, ROLES, where=where)
        if metric.better not in ("up", "down", "") or not metric.low < metric.high:
            raise BaldroError(
                "metric-ill-defined",
                f"{where}: better {metric.better!r}, range {metric.low:g} to {metric.high:g}; "
                "allowed: better up, down or empty; low below high",
            )
        METRICS[metric.name] = metric


def shown(role: str, among: Iterable[str] | None = None) -> list[str]:
    """The metrics with a role, in its order: of the registry, or those of `among` where it is given."""
    known = (
        METRICS
        if among is None
        else [*(name for name in METRICS if name in set(among)), *sorted({*among} - {*METRICS})]
    )
    found = {name: metric for name in known if (metric := find(name)) and role in metric.shown}
    return sorted(found, key=lambda name: found[name].shown[role])
