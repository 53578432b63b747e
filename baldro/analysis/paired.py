"""Two methods on the same seeds and samples: which metrics can be tested over samples, and each one's statistic."""

from collections.abc import Sequence

import numpy as np

from baldro.analysis.samples import Samples, have, stacked
from baldro.analysis.significance import ALPHA
from baldro.metrics import find
from baldro.stats import PairedTest, permutation_test, swap_test

DRAWS = 999
"""Relabellings where the statistic is no mean. More where Holm's correction needs a smaller p."""
MOST = 9999
"""Most relabellings of any test: no p is below 1 / (MOST + 1)."""
ROUNDING = 1e-9
"""Values in [0, 1] that differ by no more are the same."""


def paired_test(
    name: str, robust: Sequence[Samples], base: Sequence[Samples], retain: Samples | None, *, draws: int = DRAWS
) -> PairedTest | None:
    """Permutation test of a metric over samples, labels swapped per sample with all its S seeds together.

    robust, base: the S runs of each, in one order of seeds; retain: against which D is taken. A statistic other than the mean is
    the mean over seeds of each seed's own. None where the metric has no values per sample. Errors: the runs did not answer
    the same samples.
    """
    if not can_test(name, robust, base, retain):
        return None
    test = find(name).paired
    halves = [_halves(stacked([*robust, *base], names)) for names in test.values]
    if test.differences is None:
        return permutation_test(*(half[0] for half in halves[0]), seed=0, n=MOST)
    size = sum(half.shape[-1] for half, _ in halves)
    differences = test.differences(halves, retain[test.names[0]].to_numpy(dtype=float) if test.retain else None)
    return swap_test(size, differences, close=ROUNDING, seed=0, n=draws)


def can_test(
    name: str, robust: Sequence[Samples | None], base: Sequence[Samples | None], retain: Samples | None
) -> bool:
    """Whether there are runs, and all have the values per sample that a metric's test takes; where it says so, Retain too."""
    runs, test = [*robust, *base], metric.paired if (metric := find(name)) else None
    return bool(runs) and test is not None and have([*runs, retain] if test.retain else runs, test.names)


def draws_for(comparisons: int) -> int:
    """Relabellings with which the smallest p, times the comparisons of Holm's correction, is 0.025 at most; up to MOST."""
    return min(max(DRAWS, 40 * comparisons - 1), MOST)


def too_many(comparisons: int) -> bool:
    """Whether not even the smallest p of MOST relabellings, times the comparisons of Holm's correction, is below ALPHA."""
    return comparisons / (MOST + 1) >= ALPHA


def _halves(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(..., 2S, N) of both methods -> each one's (..., S, N)."""
    half = values.shape[-2] // 2
    return values[..., :half, :], values[..., half:, :]
