import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from refusals import refused
from scipy.stats import ttest_1samp, ttest_rel

from baldro.stats import Interval, mean_interval, paired_difference

VALUES = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=12, unique=True).filter(lambda v: np.std(v) > 1e-3)


@given(VALUES, st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_mean_interval_against_scipy(values, level):
    ours, theirs = mean_interval(values, level), ttest_1samp(values, 0).confidence_interval(level)
    assert (ours.mean, ours.n) == (pytest.approx(np.mean(values), abs=1e-9), len(values))
    assert (ours.low, ours.high) == (pytest.approx(theirs.low, abs=1e-6), pytest.approx(theirs.high, abs=1e-6))


def test_one_seed_has_no_interval():
    interval = mean_interval([0.61])
    assert interval == Interval(mean=0.61, low=None, high=None, n=1)
    assert str(interval) == "0.61 (n = 1: no interval)"


def test_seeds_that_agree_leave_no_width():
    assert mean_interval([0.5, 0.5]) == Interval(mean=0.5, low=0.5, high=0.5, n=2)
    found = paired_difference({0: 0.175, 1: 0.2, 2: 0.175}, {0: 0.125, 1: 0.15, 2: 0.125})  # a KS distance has steps
    assert found.low == found.high == pytest.approx(0.05), "three times the same two steps, and rounding"


@given(VALUES, st.integers(0, 100))
def test_paired_difference_against_scipy(values, seed):
    other = np.array(values) + np.random.default_rng(seed).normal(size=len(values))
    ours = paired_difference(dict(enumerate(values)), dict(enumerate(other)))
    theirs = ttest_rel(values, other)
    interval = theirs.confidence_interval(0.95)
    assert (ours.low, ours.high) == (pytest.approx(interval.low, abs=1e-6), pytest.approx(interval.high, abs=1e-6))
    assert (ours.low > 0 or ours.high < 0) == (theirs.pvalue < 0.05)


def test_only_shared_seeds_are_compared_and_series_will_do():
    a, b = pd.Series({1: 0.8, 2: 0.7, 5: 0.1}), {2: 0.5, 1: 0.5, 9: 0.9}
    interval = paired_difference(a, b)
    assert (interval.mean, interval.n) == (pytest.approx(0.25), 2)
    assert paired_difference({1: 0.8}, b) == Interval(mean=pytest.approx(0.3), low=None, high=None, n=1)


def test_pairing_takes_out_what_the_seeds_share():
    level, noise = np.random.default_rng(1).normal(size=(2, 5)) * [[1.0], [0.01]]
    a, b = dict(enumerate(level + 0.1)), dict(enumerate(level + noise))
    interval = paired_difference(a, b)
    assert interval.low > 0
    assert interval.high - interval.low < 0.05


@pytest.mark.parametrize(
    ("call", "code", "facts"),
    [
        (lambda: mean_interval([]), "wrong-shape", ["mean_interval"]),
        (lambda: mean_interval([0.5, np.nan]), "not-finite", ["mean_interval", "position 1"]),
        (lambda: mean_interval([0.5, 0.6], level=95), "bad-level", ["95"]),
        (lambda: paired_difference({1: 0.5}, {2: 0.5}), "no-shared-seed", ["[1] and [2]"]),
        (lambda: paired_difference({1: np.nan}, {1: 0.5}), "not-finite", ["paired_difference"]),
        (lambda: paired_difference([0.5], [0.5]), "not-by-seed", ["list"]),
    ],
)
def test_errors(call, code, facts):
    with refused(code, *facts):
        call()
