"""Intervals over seeds: each seed is a whole training, so there are few of them and Student's t fits."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import t as student_t

from baldro.errors import BaldroError
from baldro.stats.arrays import ROUNDING, finite_vector


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A point with its confidence interval.

    >>> print(Interval(mean=0.5, low=0.4, high=0.6, n=3))
    0.5 [0.4, 0.6] (n = 3)
    """

    mean: float  # the point estimate
    low: float | None  # None when n = 1: one value says nothing of its spread
    high: float | None
    n: int  # seeds, pairs or samples behind it

    def __str__(self) -> str:
        if self.low is None:
            return f"{self.mean:.4g} (n = {self.n}: no interval)"
        return f"{self.mean:.4g} [{self.low:.4g}, {self.high:.4g}] (n = {self.n})"


def mean_interval(values: ArrayLike, level: float = 0.95, *, close: float | None = None) -> Interval:
    """Mean of independent seeds with its Student t interval: mean +- t_{(1+level)/2, n-1} s / sqrt(n).

    values: (n,), one a seed; level in (0, 1). s is the sample standard deviation (n - 1); up to `close` it is 0, as seeds
    that are alike but for rounding have no spread (default: `ROUNDING` times the largest value). With n = 1, `low` and `high`
    are None. Raises BaldroError on NaN, no values or a level outside (0, 1). Source: Student 1908 (Biometrika 6:1).

    >>> print(mean_interval([0.61, 0.63, 0.62]))
    0.62 [0.5952, 0.6448] (n = 3)
    >>> print(mean_interval([0.61]))
    0.61 (n = 1: no interval)
    """
    values, level = finite_vector(values, "mean_interval"), checked_level(level)
    mean, n = float(values.mean()), len(values)
    if n == 1:
        return Interval(mean=mean, low=None, high=None, n=1)
    spread = float(values.std(ddof=1))
    spread = 0.0 if spread <= (ROUNDING * np.abs(values).max() if close is None else close) else spread
    half = float(student_t.ppf((1 + level) / 2, n - 1) * spread / np.sqrt(n))
    return Interval(mean=mean, low=mean - half, high=mean + half, n=n)


def paired_difference(
    a: Mapping[int, float] | pd.Series, b: Mapping[int, float] | pd.Series, level: float = 0.95
) -> Interval:
    """Mean of a - b over the seeds both have, with the Student t interval of the differences (paired t).

    a, b: seed -> value (a mapping, or a Series indexed by seed). Seeds that only one has are left out, and `n` counts
    those shared; an interval without 0 is a paired t test's p < 1 - level. Raises BaldroError on NaN, no shared seed or
    a level outside (0, 1). Source: Student 1908 (Biometrika 6:1).

    >>> print(paired_difference({1: 0.80, 2: 0.75, 3: 0.82}, {1: 0.70, 2: 0.66, 3: 0.71, 4: 0.90}))
    0.1 [0.07516, 0.1248] (n = 3)
    """
    for values in (a, b):
        if not isinstance(values, Mapping | pd.Series):
            raise BaldroError(
                "not-by-seed", f"paired_difference: got a {type(values).__name__}; needs seed -> value on both sides"
            )
    shared = sorted(set(a.keys()) & set(b.keys()))
    if not shared:
        raise BaldroError(
            "no-shared-seed", f"paired_difference: seeds {sorted(a.keys())} and {sorted(b.keys())}; none is shared"
        )
    left, right = (finite_vector([side[seed] for seed in shared], "paired_difference") for side in (a, b))
    close = ROUNDING * max(np.abs(left).max(), np.abs(right).max())  # a - b is no more exact than a and b
    return mean_interval(left - right, level, close=close)


def checked_level(level: float) -> float:
    """`level` itself; raises BaldroError unless 0 < level < 1.

    >>> checked_level(0.95)
    0.95
    """
    if not 0 < level < 1:
        raise BaldroError("bad-level", f"level = {level}; a confidence level lies between 0 and 1, such as 0.95")
    return level
