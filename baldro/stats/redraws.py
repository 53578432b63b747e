"""What every bootstrap here shares: redrawing samples, and from redrawn statistics to an interval (BCa).

Samples are put in order before they are redrawn, so the order in which they come cannot change an interval.
"""

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student_t

from baldro.errors import BaldroError
from baldro.stats.arrays import ROUNDING
from baldro.stats.intervals import Interval, checked_level


def check_redraws(n: int, level: float, what: str) -> None:
    """Raise BaldroError naming `what` unless n >= 1 and 0 < level < 1."""
    checked_level(level)
    if n < 1:
        raise BaldroError("too-few-redraws", f"{what}: n = {n}; needs 1 or more redraws")


def redrawn_rows(random: np.random.Generator, size: int, n: int) -> np.ndarray:
    """(n, size) row numbers: n redraws of `size` rows with replacement.

    >>> redrawn_rows(np.random.default_rng(0), 3, 2)
    array([[2, 1, 1],
           [0, 0, 0]])
    """
    return random.integers(0, size, size=(n, size))


def counts(rows: np.ndarray, width: int) -> np.ndarray:
    """(n, width) how often each of the numbers 0 .. width - 1 stands in each line of `rows` (n, N).

    >>> counts(np.array([[0, 2, 2], [1, 1, 1]]), 3)
    array([[1, 0, 2],
           [0, 3, 0]])
    """
    lines = len(rows)
    flat = rows + width * np.arange(lines)[:, None]
    return np.bincount(flat.ravel(), minlength=lines * width).reshape(lines, width)


def bca(value: float, redrawn: np.ndarray, influence: list[np.ndarray], *, level: float) -> Interval:
    """Bias-corrected and accelerated interval: quantiles of the redrawn statistic, at levels that mend bias and skewness.

    value: the statistic of the data; redrawn: (n,) of the redraws; influence: per independent group the (N_g,) shares
    of its samples, statistic ~ value + sum_gi (times drawn - 1) influence_gi. The levels are

        Phi(z0 + z / (1 - a z)),  z = z0 -+ sqrt(N / (N - 1)) t_{(1 + level) / 2, N - 1}

    with z0 = Phi^-1(share of redraws below value, ties half), a = sum influence^3 / (6 (sum influence^2)^1.5) and N the
    smallest group: t in place of the normal, since redraws are narrower than fresh samples. `Interval.n` is the sum of
    N_g. Without two samples in every group there are no ends. Both ends lie between the smallest and largest redraw.

    Source: Efron 1987 (JASA 82:397); DiCiccio & Efron 1996 (Statistical Science 11:3), eq. 2.3, 6.6; the t levels:
    Hesterberg 2015 (The American Statistician 69:4), "expanded percentile".

    >>> values = np.array([0.0, 0.0, 0.1, 0.9])
    >>> redrawn = values[redrawn_rows(np.random.default_rng(0), 4, 2000)].mean(axis=1)
    >>> print(bca(0.25, redrawn, [(values - 0.25) / 4], level=0.95))
    0.25 [0, 0.9] (n = 4)
    """
    total, smallest = sum(map(len, influence)), min(map(len, influence))
    if smallest == 1:
        return Interval(mean=value, low=None, high=None, n=total)
    close = ROUNDING * max(abs(value), np.abs(redrawn).max())
    below = ((redrawn < value - close).mean() + (redrawn <= value + close).mean()) / 2
    z0 = norm.ppf(np.clip(below, 0.5 / len(redrawn), 1 - 0.5 / len(redrawn)))
    edge = np.sqrt(smallest / (smallest - 1)) * student_t.ppf((1 + level) / 2, smallest - 1)
    z = z0 + np.array([-edge, edge])
    # Beyond a z = 1 the formula turns back; there the end is the outermost redraw.
    levels = norm.cdf(z0 + z / np.maximum(1 - _acceleration(influence) * z, 1e-9))
    low, high = np.quantile(redrawn, np.sort(levels))
    return Interval(mean=value, low=float(min(low, value)), high=float(max(high, value)), n=total)


def _acceleration(influence: list[np.ndarray]) -> float:
    every = np.concatenate(influence)
    scale = np.abs(every).max()
    if scale == 0:
        return 0.0
    every = every / scale
    return float((every**3).sum() / (6 * (every**2).sum() ** 1.5))
