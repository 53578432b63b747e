"""The KS distance and its interval: scipy's D, and an interval that covers the truth, 0 included."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from refusals import refused
from scipy.stats import ks_2samp, norm

from baldro.stats import Interval, bootstrap_ks

RATIOS = st.integers(2, 30).flatmap(
    lambda size: st.tuples(*[st.lists(st.sampled_from([0.1, 0.2, 0.5, 1.0, 3.0]), min_size=size, max_size=size)] * 2)
)


def percentile(a, b, *, seed, n, level=0.95):
    """What one would do first: the quantiles of the redrawn D."""
    rows = np.random.default_rng(seed).integers(0, len(a), size=(n, len(a)))
    grid = np.concatenate([a, b])
    gap = (a[:, None] <= grid).astype(float) - (b[:, None] <= grid)
    redrawn = np.abs(gap[rows].mean(axis=1)).max(axis=1)
    low, high = np.quantile(redrawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(mean=0.0, low=low, high=high, n=len(a))


def coverage(make, distance: float, *, size: int, repetitions: int, shared: float = 0.0) -> float:
    """Two unit normals 2 Phi^-1((1 + D) / 2) apart, whose rows have correlation `shared`."""
    random, apart = np.random.default_rng(0), 2 * norm.ppf((1 + distance) / 2)
    hits = 0
    for seed in range(repetitions):
        a, own = random.normal(size=(2, size))
        interval = make(a + apart, shared * a + np.sqrt(1 - shared**2) * own, seed=seed, n=200)
        hits += interval.low <= distance <= interval.high
    return hits / repetitions


@given(RATIOS)
def test_the_distance_is_scipys_and_the_interval_is_ordered(ratios):
    interval = bootstrap_ks(*ratios, seed=0, n=50)
    assert interval.mean == pytest.approx(ks_2samp(*ratios, method="asymp").statistic)
    assert 0 <= interval.low <= interval.mean <= interval.high <= 1
    assert interval.n == len(ratios[0])


@given(RATIOS, st.integers(0, 100), st.sampled_from([1, 30]))
def test_the_ends_by_hand(ratios, seed, n):
    """The definition, computed here from the rows and the points themselves, one redraw at a time."""
    a, b = np.array(sorted(zip(*ratios, strict=True))).T
    points = sorted({*a, *b})

    def gap_of(rows):
        return np.array([np.mean(a[rows] <= x) - np.mean(b[rows] <= x) for x in points])

    gap = gap_of(np.arange(len(a)))
    distance, peak = np.abs(gap).max(), int(np.argmax(np.abs(gap).round(9)))
    redrawn = [gap_of(rows) for rows in np.random.default_rng(seed).integers(0, len(a), size=(n, len(a)))]
    down = np.quantile([np.abs(each - gap).max() for each in redrawn], 0.95)
    up = np.quantile([distance - np.sign(gap[peak]) * each[peak] for each in redrawn], 0.95)
    interval = bootstrap_ks(*ratios, seed=seed, n=n, level=0.9)
    assert interval.low == pytest.approx(max(distance - down, 0), abs=1e-12)
    assert interval.high == pytest.approx(min(distance + max(up, 0), 1), abs=1e-12)


@given(RATIOS, st.randoms(use_true_random=False))
def test_neither_the_order_of_rows_nor_a_growing_function_of_the_values_matters(ratios, random):
    pairs = list(zip(*ratios, strict=True))
    other = list(zip(*random.sample(pairs, len(pairs)), strict=True))
    plain = bootstrap_ks(*ratios, seed=0, n=50)
    assert plain == bootstrap_ks(*other, seed=0, n=50)
    assert plain == bootstrap_ks(*np.log(ratios), seed=0, n=50)


def test_a_model_against_itself_is_certain():
    assert bootstrap_ks([0.1, 0.5, 0.9], [0.1, 0.5, 0.9], seed=0) == Interval(mean=0.0, low=0.0, high=0.0, n=3)


def test_models_wholly_apart_on_few_samples_are_not():
    interval = bootstrap_ks(np.arange(40), np.arange(40) + 100, seed=0)
    assert (interval.mean, interval.high) == (1, 1)
    assert interval.low < 0.9


def test_one_sample_has_no_interval():
    assert bootstrap_ks([0.1], [0.5], seed=0) == Interval(mean=1.0, low=None, high=None, n=1)


@pytest.mark.parametrize("shared", [0.0, 0.9])
@pytest.mark.parametrize("size", [40, 200])
def test_no_distance_is_covered_as_often_as_the_docstring_says(size, shared):
    """D = 0, the hypothesis that forget quality tests."""
    assert coverage(bootstrap_ks, 0.0, size=size, repetitions=300, shared=shared) >= 0.94


def test_the_percentile_interval_would_not_pass():
    """The bounds here can fail: redrawing the distance itself never finds D = 0 and is short at a small D."""
    assert coverage(percentile, 0.0, size=40, repetitions=100) == 0
    assert coverage(percentile, 0.12, size=40, repetitions=100) < 0.2


@pytest.mark.parametrize("distance", [0.12, 0.38, 0.68, 0.95])
def test_distances_are_covered_as_often_as_the_docstring_says(distance):
    assert coverage(bootstrap_ks, distance, size=40, repetitions=300) >= 0.95


@pytest.mark.parametrize(
    ("call", "code", "facts"),
    [
        (lambda: bootstrap_ks([0.5, 0.6], [0.5], seed=0), "shapes-differ", ["bootstrap_ks", "2 and 1"]),
        (lambda: bootstrap_ks([np.nan], [0.5], seed=0), "not-finite", ["bootstrap_ks"]),
        (lambda: bootstrap_ks([0.5], [0.5], seed=0, n=0), "too-few-redraws", ["n = 0"]),
        (lambda: bootstrap_ks([0.5], [0.5], seed=0, level=1), "bad-level", ["level = 1"]),
    ],
)
def test_errors(call, code, facts):
    with refused(code, *facts):
        call()
