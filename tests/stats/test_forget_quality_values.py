"""Every value that forget quality can take, against the metric itself on all small samples and on drawn large ones."""

import itertools
from math import comb

import numpy as np
import pytest
from refusals import refused
from scipy.stats import ks_2samp

from baldro.metrics.forget_quality import forget_quality, forget_quality_d
from baldro.stats import ks_step, ks_values

PUBLISHED = {  # n = m = 40: 40 D -> p
    4: 0.9900, 5: 0.9188, 6: 0.7659, 7: 0.5786, 8: 0.4046, 9: 0.2657, 10: 0.1650, 11: 0.0971, 12: 0.0541, 13: 0.0286,
    14: 0.0143, 15: 0.0068, 16: 0.0030, 17: 0.0013,
}  # fmt: skip


def quality(a, b) -> tuple[float, float]:
    return forget_quality_d(a, b), forget_quality(a, b)


def untied(n: int, m: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """All orders of n and m different values."""
    every = np.arange(n + m)
    return [(np.array(a), np.setdiff1d(every, a)) for a in itertools.combinations(every, n)]


def tied(n: int, m: int) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """All samples of n and m values among as many levels: every weak order."""
    sides = [itertools.combinations_with_replacement(range(n + m), size) for size in (n, m)]
    return list(itertools.product(*sides))


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 3), (2, 4), (3, 5), (4, 4), (5, 4), (5, 5)])
def test_all_orders_of_small_samples(n, m):
    found = {quality(a, b) for a, b in untied(n, m)}
    assert len(untied(n, m)) == comb(n + m, n)
    assert found <= set(ks_values(n, m))
    if n == m:
        assert found == set(ks_values(n, m)[1:])  # D = 0 needs ties


@pytest.mark.parametrize(("n", "m"), [(1, 2), (2, 2), (3, 2)])
def test_all_weak_orders_of_small_samples(n, m):
    assert {quality(a, b) for a, b in tied(n, m)} == set(ks_values(n, m))


@pytest.mark.parametrize(("n", "m"), [(2, 4), (3, 5), (4, 5), (5, 5)])
def test_p_counts_the_orders_that_are_as_far_apart(n, m):
    """The p-value from its definition, without scipy: untied orders with a D at least as large."""
    distances = [max(abs(sum(a <= x) / n - sum(b <= x) / m) for x in range(n + m)) for a, b in untied(n, m)]
    for distance, p in ks_values(n, m):
        assert p == pytest.approx(np.mean(np.array(distances) >= distance - 1e-9), abs=1e-4)


def test_the_published_list_of_forty():
    values = ks_values(40, 40)
    assert [d for d, _ in values] == [k / 40 for k in range(41)]
    assert {k: round(values[k][1], 4) for k in PUBLISHED} == PUBLISHED


@pytest.mark.parametrize(("n", "m"), [(40, 40), (200, 200), (400, 400), (200, 400), (40, 100)])
def test_drawn_samples_take_listed_values(n, m):
    values, random = set(ks_values(n, m)), np.random.default_rng(0)
    for shift in np.linspace(0, 3, 12):
        assert quality(random.normal(shift, 1, n), random.normal(0, 1, m)) in values
    a = random.random(n)
    assert quality(a, np.resize(a, m)) in values


@pytest.mark.parametrize(("n", "m"), [(1, 1), (7, 7), (400, 400), (6, 4), (200, 400), (9, 8)])
def test_values_ascend_on_the_grid_from_none_to_all(n, m):
    d, p = np.array(ks_values(n, m)).T
    assert (d[0], p[0], d[-1]) == (0, 1, 1)
    assert (np.diff(d) > 0).all() and (np.diff(p) <= 1e-12).all() and (p > 0).all()  # to rounding, near 1
    assert d / ks_step(n, m) == pytest.approx(np.round(d / ks_step(n, m)), abs=1e-8)
    assert ks_values(n, m) == ks_values(m, n)
    if n == m:
        assert len(d) == n + 1


def test_the_smallest_distance_of_four_hundred_is_scipys_with_its_warning():
    a = np.arange(400.0)
    with pytest.warns(RuntimeWarning, match="Exact calculation unsuccessful"):
        theirs = ks_2samp(a, a + 0.5)
    assert (theirs.statistic, theirs.pvalue) == ks_values(400, 400)[1]


@pytest.mark.parametrize(
    ("call", "code", "facts"),
    [
        (lambda: ks_values(0, 4), "bad-sample-size", ["0 and 4"]),
        (lambda: ks_step(4, 2.5), "bad-sample-size", ["4 and 2.5"]),
        (lambda: ks_values(399, 400), "too-many-values", ["399 and 400", "5000"]),
    ],
)
def test_errors(call, code, facts):
    with refused(code, *facts):
        call()
