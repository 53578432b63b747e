"""Permutation tests against scipy's and against what must hold; Holm's correction against its definition."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import refused
from scipy import stats

from baldro.stats import PairedTest, holm, permutation_test, swap_test

relaxed = settings(max_examples=25)
COARSE = st.integers(0, 16).map(lambda k: k / 16)
PAIRS = st.lists(st.tuples(COARSE, COARSE), min_size=1, max_size=8).map(lambda pairs: np.array(pairs).T)


@relaxed
@given(PAIRS.filter(lambda pair: pair.shape[1] > 1))
def test_the_exact_mean_test_is_scipys(pair):
    theirs = stats.permutation_test(
        pair, lambda a, b, axis: (a - b).mean(axis=axis), permutation_type="samples", vectorized=True
    )
    ours = permutation_test(*pair, seed=0)
    assert (ours.difference, ours.p) == (pytest.approx(theirs.statistic), pytest.approx(theirs.pvalue))
    assert ours.n == pair.shape[1]


def test_the_chance_test_agrees_with_the_exact_one_and_is_never_zero():
    random = np.random.default_rng(0)
    a, b = random.normal([[0.4], [0.0]], 1, size=(2, 12))
    exact, chance = permutation_test(a, b, seed=0).p, permutation_test(a, b, seed=0, n=4000).p
    assert chance == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 4000) + 1 / 4000)
    far = permutation_test(np.full(400, 0.9) + random.random(400), np.zeros(400), seed=0, n=999)
    assert far.p == 1 / 1000


def test_exact_as_soon_as_n_allows():
    """At N = 4 with n = 15 all sixteen are made; with one less they are drawn, and p is a multiple of 1/15."""
    a, b = [1.0, 2.0, 3.0, 4.0], [0.0, 0.5, 1.0, 1.5]
    assert permutation_test(a, b, seed=0, n=15) == permutation_test(a, b, seed=5, n=15)
    assert permutation_test(a, b, seed=0, n=15).p == 2 / 16
    assert (permutation_test(a, b, seed=0, n=14).p * 15) % 1 == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("size", [3, 40])
def test_a_run_against_itself_has_p_one(size):
    a = np.random.default_rng(0).random(size)
    assert permutation_test(a, a, seed=0, n=99) == PairedTest(difference=0, p=1, effect=None, n=size)


def test_p_is_uniform_when_nothing_differs():
    random = np.random.default_rng(0)
    noise = random.gamma(0.5, size=(800, 2, 16))  # skewed, which the test does not mind
    p = np.array([permutation_test(a, b, seed=i, n=199).p for i, (a, b) in enumerate(noise)])
    for level in (0.05, 0.1, 0.25, 0.5, 0.75):
        assert np.mean(p <= level) == pytest.approx(level, abs=4 * np.sqrt(level * (1 - level) / 800))


@relaxed
@given(PAIRS, st.integers(0, 9))
def test_swapping_the_runs_turns_the_difference_and_keeps_p(pair, seed):
    one, two = permutation_test(*pair, seed=seed, n=99), permutation_test(*pair[::-1], seed=seed, n=99)
    assert (one.difference, one.p) == (pytest.approx(-two.difference), two.p)
    assert (one.effect is None) == (two.effect is None)
    assert one.effect is None or one.effect == pytest.approx(-two.effect)


def test_seeds_of_a_sample_are_swapped_together():
    """Fifty seeds of three samples are three samples: no p below 2 / 2^3."""
    b = np.random.default_rng(0).random((50, 3))
    test = permutation_test(b + 1 + 0.1 * b[::-1], b, seed=0)
    means = permutation_test((b + 1 + 0.1 * b[::-1]).mean(axis=0), b.mean(axis=0), seed=0)
    assert (test.p, test.n) == (0.25, 3)
    assert (test.difference, test.effect) == (pytest.approx(means.difference), pytest.approx(means.effect))


def test_a_statistic_sees_every_relabelling_once():
    seen = []
    swap_test(3, lambda swapped: seen.extend(map(tuple, swapped)) or np.zeros(len(swapped)), close=0, seed=0)
    assert sorted(seen[1:]) == sorted(itertools.product([False, True], repeat=3)), "the first is the data's own"


def test_effect_is_cohens_d_z():
    a, b = np.random.default_rng(0).normal([[0.5], [0.0]], 1, size=(2, 30))
    assert permutation_test(a, b, seed=0).effect == pytest.approx(stats.ttest_rel(a, b).statistic / np.sqrt(30))


def test_differences_that_are_all_the_same_have_no_effect_size():
    b = np.linspace(0.1, 0.9, 9)  # b + .1 - b is .1 to rounding only
    test = permutation_test(b + 0.1, b, seed=0)
    assert (test.effect, test.p) == (None, 2 / 2**9)


@pytest.mark.parametrize(
    ("call", "code", "facts"),
    [
        (lambda: permutation_test([0.1, 0.2], [0.1], seed=0), "shapes-differ", ["(2,)", "(1,)"]),
        (lambda: permutation_test([[0.1, 0.2]], [0.1, 0.2], seed=0), "shapes-differ", ["(1, 2)"]),
        (lambda: permutation_test([0.1, np.nan], [0.1, 0.2], seed=0), "not-finite", ["position 1"]),
        (lambda: permutation_test([], [], seed=0), "wrong-shape", ["permutation_test"]),
        (lambda: permutation_test(np.zeros((1, 1, 1)), np.zeros((1, 1, 1)), seed=0), "wrong-shape", ["1-dimensional"]),
        (lambda: permutation_test([0.1], [0.2], seed=0, n=0), "too-few-redraws", ["n = 0"]),
        (lambda: swap_test(1, lambda swapped: np.full(len(swapped), np.nan), close=0, seed=0), "not-finite", ["nan"]),
        (lambda: holm([]), "wrong-shape", ["holm"]),
        (lambda: holm([0.1, np.nan]), "not-finite", ["holm", "position 1"]),
        (lambda: holm([0.1, 1.5]), "out-of-range", ["holm", "1.5"]),
    ],
)
def test_errors(call, code, facts):
    with refused(code, *facts):
        call()


def step_down(p: list[float], level: float) -> list[bool]:
    """Holm 1979 as written: reject from the smallest on, each against level over those left, until one stays."""
    rejected = [False] * len(p)
    for step, at in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        if p[at] > level / (len(p) - step):
            break
        rejected[at] = True
    return rejected


P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=10)


@relaxed
@given(P_VALUES, st.sampled_from([0.01, 0.0503, 0.2, 0.7]))
def test_holm_rejects_what_the_step_down_rejects(p, level):
    adjusted = holm(p)
    if np.abs(adjusted - level).min() > 1e-9:  # on the very edge rounding decides
        assert (adjusted <= level).tolist() == step_down(p, level)
