"""Crossed factors: what one level of a factor changes, everything else and the seed the same, with the seeds as units.

A crossing is an array y_SL of shape (S, L_1, ..., L_K): seed, then the level of each of K factors, level 0 the reference;
NaN where there is no value. Runs that share a seed share its data order and so its luck: every effect is first taken
within each seed, and only the S effects are taken to be independent.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t as student_t

from baldro.errors import BaldroError
from baldro.stats.arrays import ROUNDING
from baldro.stats.intervals import Interval, mean_interval


@dataclass(frozen=True, kw_only=True)
class Effect:
    """A difference between levels, averaged over the combinations of the other factors, then over seeds."""

    difference: Interval | None  # over seeds; None where no seed has both sides
    p: float | None  # that it is 0: two-sided t test over seeds; None with one seed, or where all seeds are alike
    present: int  # differences behind it, of all seeds: pairs of values, of two factors fours of them
    missing: int  # of the full crossing, those that lack a value


def effect(values: ArrayLike, levels: Mapping[int, int], *, level: float = 0.95) -> Effect:
    """What factor k at level a changes against its level 0; of two factors at once, how much one changes the other's effect.

    With one entry {k: a} the main effect: mean over seeds of d_s = mean over the other factors' combinations c of
    y_s(a, c) - y_s(0, c). With two, {k: a, l: b}, their interaction: the same of the difference of differences
    y(a, b) - y(0, b) - y(a, 0) + y(0, 0). The interval is Student's t of the d_s; where values are missing d_s is of the
    differences that are there.

    values: (S, L_1, ..., L_K), NaN where there is none. levels: factor (0 to K - 1) -> level (1 to L_k - 1). Raises
    BaldroError on a factor or level that is not there, infinite values, or a `level` outside (0, 1).

    Source: the paired contrasts of a two-level design, Box, Hunter & Hunter 2005 (Statistics for Experimenters), sec. 5.4-5.6;
    t^2 is the F test of the contrast against its interaction with the blocks (here seeds), Kirk 2013 (Experimental Design),
    ch. 10.

    >>> y = [[[0.30, 0.31], [0.40, 0.41]], [[0.32, 0.33], [0.43, 0.44]], [[0.29, 0.30], [0.38, 0.39]]]
    >>> print(effect(y, {0: 1}).difference)
    0.1 [0.07516, 0.1248] (n = 3)
    """
    y = _crossing(values)
    for factor, at in levels.items():
        if not 0 <= factor < y.ndim - 1 or not 1 <= at < y.shape[factor + 1]:
            raise BaldroError(
                "unknown-level", f"effect: level {at} of factor {factor} is not in values of shape {y.shape}"
            )
    scale = np.nanmax(np.abs(y), initial=0)
    for factor, at in levels.items():
        y = y.take([at], axis=factor + 1) - y.take([0], axis=factor + 1)
    return _over_seeds(y.reshape(len(y), -1), scale, level)


def total(values: ArrayLike, *, level: float = 0.95) -> Effect:
    """Every factor at its level 1 against every factor at level 0: all differences at once, interactions included.

    values: (S, 2, ..., 2), NaN where there is none. Raises BaldroError as `effect`, and where a factor has another number
    of levels.

    >>> print(total([[[0.3, 0.2], [0.1, 0.5]], [[0.3, 0.2], [0.1, 0.7]]]).difference)
    0.3 [-0.9706, 1.571] (n = 2)
    """
    y = _crossing(values)
    if any(n != 2 for n in y.shape[1:]):
        raise BaldroError("not-two-levels", f"total: values of shape {y.shape}; every factor needs two levels")
    ends = [y[(slice(None), *([at] * (y.ndim - 1)))] for at in (1, 0)]
    return _over_seeds((ends[0] - ends[1])[:, None], np.nanmax(np.abs(y), initial=0), level)


def _crossing(values: ArrayLike) -> np.ndarray:
    y = np.asarray(values, dtype=float)
    if y.ndim < 2 or 0 in y.shape:
        raise BaldroError("wrong-shape", f"effect: values of shape {y.shape}; needs seeds and at least one factor")
    if np.isinf(y).any():
        raise BaldroError("not-finite", "effect: an infinite value; allowed: numbers, NaN where there is none")
    return y


def _over_seeds(apart_SC: np.ndarray, scale: float, level: float) -> Effect:
    """scale: largest value behind the differences, which are no more exact than it."""
    known_SC = ~np.isnan(apart_SC)
    present = int(known_SC.sum())
    counted = {"present": present, "missing": apart_SC.size - present}
    if not present:
        return Effect(difference=None, p=None, **counted)
    own = known_SC.any(axis=1)
    means = np.where(known_SC, apart_SC, 0)[own].sum(axis=1) / known_SC[own].sum(axis=1)
    close = ROUNDING * scale
    return Effect(difference=mean_interval(means, level, close=close), p=_p(means, close), **counted)


def _p(means: np.ndarray, close: float) -> float | None:
    """Two-sided p of the t test that the mean is 0; None where there is no spread to hold it against."""
    n = len(means)
    if n == 1 or (deviation := means.std(ddof=1)) <= close:
        return None
    return float(2 * student_t.sf(abs(means.mean()) / (deviation / np.sqrt(n)), n - 1))
