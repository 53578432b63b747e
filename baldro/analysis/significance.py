"""What comparisons and attribution share: a difference over seeds, its direction, one level, one correction for several tests."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import pandas as pd

from baldro.analysis.labels import metric, objective_rank, variant_rank
from baldro.stats import Interval, holm

ALPHA = 0.05
"""The level of every test."""
BETTER, WORSE = "better", "worse"
ONE_SEED = "one seed: no interval can be given"
NO_WIDTH = "every seed alike: the interval has no width"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A difference in one metric, of one method and split."""

    benchmark: str
    model: str
    split: str
    method: str
    """The method's label, with the settings that tell it apart."""
    objective: str
    variant: str
    metric: str
    difference: Interval | None
    """Over seeds; None where there is nothing to compare."""
    p_holm: float | None = None
    """The p-value, adjusted for the other tests of its family; None where nothing was tested."""

    @property
    def direction(self) -> str:
        """As `direction` of the mean over seeds."""
        return direction(self.metric, self.difference.mean)

    @property
    def who(self) -> dict[str, Any]:
        """The first columns of its row: benchmark to variant."""
        return {name: getattr(self, name) for name in ("benchmark", "model", "split", "method", "objective", "variant")}

    @property
    def numbers(self) -> dict[str, float | None]:
        """The columns difference, low and high of its row."""
        d = self.difference
        return {"difference": d and d.mean, "low": d and d.low, "high": d and d.high}


D = TypeVar("D", bound=Difference)


def adjusted(found: Sequence[D], p_values: Sequence[float | None], families: Sequence[Hashable]) -> list[D]:
    """The differences with their adjusted p-values, in the order of the tables.

    Args:
        p_values, families: as of `corrected`, one a difference.
    """
    tested = [replace(one, p_holm=p) for one, p in zip(found, corrected(p_values, families), strict=True)]
    return sorted(tested, key=lambda d: (d.benchmark, d.model, objective_rank(d.objective), variant_rank(d.variant)))


def corrected(p_values: Sequence[float | None], families: Sequence[Hashable]) -> list[float | None]:
    """Holm's p of each test, within its family; None where nothing was tested.

    Args:
        p_values: one a test.
        families: one a test: tests of equal ones are corrected for each other.
    """
    known = pd.Series(p_values, dtype=float).dropna()
    found = known.groupby(pd.Series(families, dtype=object)[known.index], sort=False).transform(holm)
    return [found.get(at) for at in range(len(p_values))]


def direction(name: str, difference: float) -> str:
    """better or worse, by the metric's direction; higher or lower where it has none."""
    wanted = metric(name).better
    if not wanted:
        return "higher" if difference > 0 else "lower"
    return BETTER if (difference > 0) == (wanted == "up") else WORSE
