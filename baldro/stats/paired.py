"""Do two runs differ on the same samples? A permutation test, and Holm's correction when several such tests are made."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from baldro.errors import BaldroError
from baldro.stats.arrays import ROUNDING, finite_matrix, finite_vector

BLOCK = 1000  # relabellings made at once


@dataclass(frozen=True, kw_only=True)
class PairedTest:
    """What a paired permutation test found."""

    difference: float  # statistic of a - statistic of b
    p: float  # two-sided, in (0, 1]
    effect: float | None  # Cohen's d_z, mean / sd of the differences per sample; None where it has no meaning
    n: int  # samples


def permutation_test(a: ArrayLike, b: ArrayLike, *, seed: int, n: int = 9999) -> PairedTest:
    """Two-sided paired permutation test of the mean: were it chance which of the two runs is called a, how often would they differ so?

    p = share of relabellings whose |mean(a') - mean(b')| is at least that of the data. A relabelling swaps a
    and b on some of the samples, all seeds of a sample together. All 2^N are made when 2^N <= n + 1; otherwise n are
    drawn and p = (k + 1) / (n + 1) for the k of them that differ as much, so p is never 0. It tests that a and b are
    exchangeable on every sample; it says nothing of other seeds.

    a, b: (N,) or (S, N), column i of both the same sample, line s the same seed; N of 1 or more. The mean is over seeds,
    then samples. `effect` is Cohen's d_z with the N - 1 deviation: None for N = 1, and for differences that are all the
    same. Raises BaldroError on NaN, unequal shapes or n < 1.

    Source: Fisher 1935 (The Design of Experiments, sec. 21); Good 2005 (Permutation, Parametric and Bootstrap Tests),
    ch. 3; (k + 1) / (n + 1): Phipson & Smyth 2010 (SAGMB 9:39); d_z: Cohen 1988 (Statistical Power Analysis), sec. 2.3.5.

    >>> permutation_test([0.9, 0.8, 0.7, 0.9], [0.5, 0.5, 0.6, 0.6], seed=0).p  # all four higher: 2 of 2^4
    0.125
    """
    a, b = _same_shape(a, b)
    apart = (a - b).reshape(-1, a.shape[-1]).mean(axis=0)
    close = ROUNDING * max(np.abs(a).max(), np.abs(b).max())  # a - b is no more exact than a and b
    found = swap_test(
        a.shape[-1], lambda swapped: (1 - 2.0 * swapped) @ apart / len(apart), close=close, seed=seed, n=n
    )
    return replace(found, effect=_cohen(apart, close))


def swap_test(
    size: int, differences: Callable[[np.ndarray], np.ndarray], *, close: float, seed: int, n: int = 9999
) -> PairedTest:
    """The same of any statistic, which is taken of many relabellings at once.

    size: N, samples. differences: (R, N) booleans, true where a sample's a and b are swapped -> (R,) statistic(a') -
    statistic(b'). close: what is no difference but rounding. Returns a test without an effect size. Raises BaldroError
    on n < 1 or a difference that is not finite.

    >>> swap_test(4, lambda swapped: 4.0 - 2 * swapped.sum(axis=1), close=0, seed=0)
    PairedTest(difference=4.0, p=0.125, effect=None, n=4)
    """
    if n < 1:
        raise BaldroError("too-few-redraws", f"permutation_test: n = {n}; needs 1 or more relabellings")

    def taken(swapped: np.ndarray) -> np.ndarray:
        found = differences(swapped)
        if not np.isfinite(found).all():
            bad = found[~np.isfinite(found)][0]
            raise BaldroError("not-finite", f"permutation_test: a statistic is {bad}; every one must be finite")
        return found

    difference = float(taken(np.zeros((1, size), dtype=bool))[0])
    exact = size < 63 and 2**size <= n + 1
    blocks = _every(size) if exact else _some(np.random.default_rng(seed), size, n)
    as_large = sum(int((np.abs(taken(block)) >= abs(difference) - close).sum()) for block in blocks)
    p = as_large / 2**size if exact else (as_large + 1) / (n + 1)
    return PairedTest(difference=difference, p=p, effect=None, n=size)


def holm(p_values: ArrayLike) -> np.ndarray:
    """Holm's step-down p-values: with them all, the chance of any false discovery stays at the level chosen.

    With p_(1) <= ... <= p_(K): adjusted_(i) = max_{j <= i} min(1, (K - j + 1) p_(j)), given back in the order of the
    input. p_values: (K,) in [0, 1], K >= 1; nothing is asked of their dependence. Raises BaldroError on NaN, none or one
    outside [0, 1]. Source: Holm 1979 (Scandinavian Journal of Statistics 6:2).

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    p = finite_vector(p_values, "holm")
    outside = (p < 0) | (p > 1)
    if outside.any():
        raise BaldroError("out-of-range", f"holm: p = {p[outside][0]:g}; a p-value lies between 0 and 1")
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(np.arange(len(p), 0, -1) * p[order]), 1)
    return adjusted


def _same_shape(a: ArrayLike, b: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    a, b = ((finite_matrix if np.ndim(x) == 2 else finite_vector)(x, "permutation_test") for x in (a, b))
    if a.shape != b.shape:
        raise BaldroError(
            "shapes-differ", f"permutation_test: shapes {a.shape} and {b.shape}; both need the same samples (and seeds)"
        )
    return a, b


def _cohen(apart: np.ndarray, close: float) -> float | None:
    if len(apart) == 1 or (deviation := apart.std(ddof=1)) <= close:
        return None
    return float(apart.mean() / deviation)


def _every(size: int):
    """All 2^size relabellings, (rows, size) booleans at a time: the bits of 0, 1, 2, ..."""
    for start in range(0, 2**size, BLOCK):
        numbers = np.arange(start, min(start + BLOCK, 2**size))
        yield (numbers[:, None] >> np.arange(size) & 1).astype(bool)


def _some(random: np.random.Generator, size: int, n: int):
    for start in range(0, n, BLOCK):
        yield random.integers(0, 2, size=(min(BLOCK, n - start), size), dtype=np.uint8).astype(bool)
