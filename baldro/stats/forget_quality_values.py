"""How coarse forget quality is: on n against m samples D and its p-value can take few values only."""

import warnings
from functools import cache
from math import lcm

import numpy as np
from scipy.stats import ks_2samp

from baldro.errors import BaldroError

MOST = 5000  # values; beyond (sizes such as 399 and 400) their exact p-values take minutes


@cache
def ks_values(n: int, m: int) -> tuple[tuple[float, float], ...]:
    """Every (D, p) that the two-sample KS test can give on n and m samples, ascending in D, ties within samples included.

    D = |i / n - j / m| for i of the n and j of the m at or below the point of largest gap; p is the two-sided one of
    scipy's `ks_2samp` as it comes, which forget quality is. Sizes of 1 or more; raises BaldroError on others, and on
    sizes with more than 5000 values of D. Source: Hodges 1958 (Arkiv för Matematik 3:43), for the p-value.

    >>> [(d, round(p, 4)) for d, p in ks_values(40, 40)[4:8]]
    [(0.1, 0.99), (0.125, 0.9188), (0.15, 0.7659), (0.175, 0.5786)]
    """
    _check_sizes(n, m)
    i, j = np.divmod(np.arange((n + 1) * (m + 1)), m + 1)
    gaps, first = np.unique(np.abs(i * m - j * n), return_index=True)
    if len(gaps) > MOST:
        raise BaldroError(
            "too-many-values", f"ks_values: sizes {n} and {m} give {len(gaps)} values of D; allowed: at most {MOST}"
        )
    return tuple(_test(n, m, int(i[at]), int(j[at])) for at in first)


def ks_step(n: int, m: int) -> float:
    """The grid on which D lies: 1 / lcm(n, m); every D is a multiple of it (for n = m every multiple up to 1 is a D).

    Sizes of 1 or more; raises BaldroError on others. Source: as `ks_values`.

    >>> ks_step(40, 40), ks_step(2, 3) == 1 / 6
    (0.025, True)
    """
    _check_sizes(n, m)
    return 1 / lcm(n, m)


def _check_sizes(n: int, m: int) -> None:
    if not all(isinstance(size, int | np.integer) and size >= 1 for size in (n, m)):
        raise BaldroError("bad-sample-size", f"KS sizes {n!r} and {m!r}; allowed: whole numbers of samples, 1 or more")


def _test(n: int, m: int, i: int, j: int) -> tuple[float, float]:
    """D and p of the plainest samples with this D: i zeros and else ones against j zeros and else ones."""
    with warnings.catch_warnings():
        # For the smallest D above 0 scipy's exact sum can round to just above 1; it then warns and gives the asymptotic
        # value. `forget_quality` keeps that value, and so it belongs here.
        warnings.filterwarnings("ignore", message="ks_2samp: Exact calculation unsuccessful", category=RuntimeWarning)
        result = ks_2samp(np.repeat([0, 1], [i, n - i]), np.repeat([0, 1], [j, m - j]))
    return float(result.statistic), float(result.pvalue)
