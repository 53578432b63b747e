"""Paired tests over samples: each statistic against a plain computation of it, and what they answer."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import refused
from scipy import stats

from baldro.analysis.comparisons import compare, differences_table
from baldro.analysis.paired import draws_for, paired_test
from baldro.analysis.samples import RATIOS
from baldro.metrics import METRICS
from baldro.metrics.utility import model_utility
from baldro.stats import holm
from baldro.stats.relabelled import distances, utilities

from .conftest import made

ALL = {"rule": "all"}


def _of(**axes) -> tuple[pd.DataFrame, dict, dict]:
    frame, samples = made(**axes)
    return frame, ALL, samples


def series(values, name=RATIOS) -> dict:
    return {name: pd.Series(np.asarray(values, dtype=float))}


@given(st.integers(1, 3), st.integers(1, 12), st.integers(1, 9), st.integers(0, 2**32 - 1), st.booleans())
def test_distances_are_the_largest_gaps(seeds, n, m, seed, ties):
    """Ties within and between the two, too: values are of a coarse grid."""
    random = np.random.default_rng(seed)
    robust, base, retain = (
        random.integers(0, 6, size) / 4 if ties else random.random(size) for size in ((seeds, n), (seeds, n), m)
    )
    swaps = random.random((7, n)) < 0.5

    def distance(values):
        at = np.union1d(values, retain)[:, None]
        return np.mean([np.abs((row <= at).mean(axis=1) - (retain <= at).mean(axis=1)).max() for row in values])

    expected = [distance(np.where(swap, base, robust)) - distance(np.where(swap, robust, base)) for swap in swaps]
    assert distances(robust, base, retain)(swaps) == pytest.approx(expected, abs=1e-12)


def test_distances_of_many_values_are_exact_too():
    """Where 24 bits do not count them."""
    random = np.random.default_rng(0)
    robust, base, retain = random.random((1, 6000)), random.random((1, 6000)) ** 1.1, random.random(3000)
    swap = random.random(6000) < 0.5
    one, two = (stats.ks_2samp(np.where(s, base, robust)[0], retain, method="asymp").statistic for s in (swap, ~swap))
    assert distances(robust, base, retain)(swap[None])[0] == pytest.approx(one - two, abs=1e-12)


@given(st.integers(1, 3), st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=20)
def test_utilities_are_the_harmonic_means_of_the_swapped_runs(seeds, seed, zero):
    random = np.random.default_rng(seed)
    sizes = (5, 3, 4)
    both = [random.uniform(0.1, 1, (2, 3, seeds, size)) for size in sizes]  # method, part, seed, sample
    if zero:
        both[1][0, 1, 0] = 0  # of one method, one part of one seed
    swaps = [random.random((6, size)) < 0.5 for size in sizes]
    swaps[1][0] = False

    def utility(one, other, i):
        runs = []
        for s in range(seeds):
            parts = {}
            for names, values, swap in zip(METRICS["model_utility"].paired.values, both, swaps, strict=True):
                for k, name in enumerate(names):
                    parts[name] = float(np.where(swap[i], values[other, k, s], values[one, k, s]).mean())
            runs.append(model_utility(parts))
        return np.mean(runs)

    found = utilities([tuple(values) for values in both])(np.concatenate(swaps, axis=1))
    assert found == pytest.approx([utility(0, 1, i) - utility(1, 0, i) for i in range(6)], abs=1e-12)


def test_a_test_of_means_is_that_of_scipy():
    random = np.random.default_rng(0)
    a, b = random.normal(0.6, 0.1, 9), random.normal(0.5, 0.1, 9)
    name = "forget_probability"
    test = paired_test(name, [series(a, name)], [series(b, name)], None)
    expected = stats.permutation_test(
        (a, b), lambda x, y: x.mean() - y.mean(), permutation_type="samples", alternative="two-sided"
    )
    assert test.p == pytest.approx(expected.pvalue) and test.n == 9
    assert test.effect == pytest.approx((a - b).mean() / (a - b).std(ddof=1))


def test_seeds_of_a_sample_are_swapped_together():
    """With two samples there are four labellings, however many seeds."""
    robust, base = [series([0.0, 0.1])] * 3, [series([1.0, 1.1])] * 3
    test = paired_test("forget_quality_d", robust, base, series([0.0, 0.1]))
    assert test.difference == pytest.approx(-1.0) and test.p == 0.5 and test.effect is None


def test_what_has_no_values_is_not_tested():
    name = "forget_probability"
    assert paired_test(name, [{}], [series([1.0], name)], None) is None
    assert paired_test("forget_quality", [series([1.0])], [series([1.0])], series([1.0])) is None
    assert paired_test("forget_quality_d", [series([1.0])], [series([1.0])], None) is None
    assert paired_test("model_utility", [series([1.0])], [series([1.0])], None) is None
    assert paired_test(name, [], [], None) is None


def test_other_samples_cannot_be_paired():
    name = "forget_probability"
    other = {name: pd.Series([0.1, 0.2], index=[0, 2])}
    with refused("samples-differ", name):
        paired_test(name, [series([0.1, 0.2], name)], [other], None)


def test_draws_leave_room_for_the_correction():
    assert draws_for(1) == 999 and draws_for(100) == 3999 and draws_for(10**6) == 9999
    for count in (1, 24, 60, 240):
        assert count / (draws_for(count) + 1) <= 0.025


def test_comparisons_are_adjusted_within_their_metric():
    found = compare(*_of(splits=("forget10",), samples=60))
    table = differences_table(found)
    for name, own in table.groupby("metric"):
        if name == "forget_quality":
            assert own["p_samples"].isna().all() and set(own["over_samples"]) == {"not tested"}
            continue
        np.testing.assert_allclose(own["p_holm"].astype(float), holm(own["p_samples"].astype(float)))
        assert own["effect"].isna().all() == (name in ("forget_quality_d", "model_utility"))
    for c in found:
        if c.test is not None:  # both are of the same runs
            assert c.test.difference == pytest.approx(c.difference.mean, abs=1e-9)
            assert (c.over_samples == "no difference shown") == (c.p_holm >= 0.05)
    sizes = dict(zip(table["metric"], table["samples"], strict=True))
    assert sizes["forget_quality_d"] == 60 and sizes["model_utility"] == 200 + 100 + 117


def test_only_shared_seeds_are_compared():
    lost = ((2, "loss is NaN"),)  # seed 0 of base
    found = compare(*_of(splits=("forget10",), objectives=("npo",), betas=(5,), samples=60, lost=lost))
    assert {c.difference.n for c in found} == {2}
    for c in found:
        if c.test is not None:
            assert c.test.difference == pytest.approx(c.difference.mean, abs=1e-9)
