"""Effects of crossed factors: against least squares and an analysis of variance written out, and by simulation."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import refused
from scipy.stats import f as fisher
from scipy.stats import ttest_1samp

from baldro.stats import effect, total

relaxed = settings(max_examples=40)
SHAPES = st.tuples(st.integers(2, 5), st.integers(2, 3), st.integers(2, 3), st.integers(2, 2))


def draw(shape, seed=0):
    """A crossing with an offset a seed, and noise."""
    random = np.random.default_rng(seed)
    return random.normal(size=shape) + random.normal(0, 5, size=(shape[0], *([1] * (len(shape) - 1))))


@relaxed
@given(SHAPES, st.integers(0, 1000))
def test_main_effects_are_those_of_least_squares(shape, seed):
    """Dummies for every seed and level, no interaction: in a full crossing the coefficient is the main effect."""
    y = draw(shape, seed)
    cells = list(np.ndindex(*shape))
    names = [(axis, at) for axis in range(1, len(shape)) for at in range(1, shape[axis])]
    design = [
        [float(cell[0] == s) for s in range(shape[0])] + [float(cell[a] == at) for a, at in names] for cell in cells
    ]
    solved = np.linalg.lstsq(np.array(design), np.array([y[cell] for cell in cells]), rcond=None)[0][shape[0] :]
    for (axis, at), coefficient in zip(names, solved, strict=True):
        found = effect(y, {axis - 1: at})
        assert found.difference.mean == pytest.approx(coefficient, abs=1e-9)
        assert (found.present, found.missing, found.difference.n) == (y.size // shape[axis], 0, shape[0])


@relaxed
@given(SHAPES, st.integers(0, 1000))
def test_interactions_are_those_of_least_squares(shape, seed):
    y = draw(shape, seed)
    cells = list(np.ndindex(*shape))
    design, values = [], []
    for (
        cell
    ) in cells:  # every dummy of the first two factors and of their products, and one for each third level and seed
        one, two = ([float(cell[axis] == at) for at in range(1, shape[axis])] for axis in (1, 2))
        both = [a * b for a, b in product(one, two)]
        rest = [float(cell[0] == s and cell[3] == at) for s, at in product(range(shape[0]), range(shape[3]))]
        design.append([*both, *one, *two, *rest])
        values.append(y[cell])
    solved = np.linalg.lstsq(np.array(design), np.array(values), rcond=None)[0]
    for place, (a, b) in enumerate(product(range(1, shape[1]), range(1, shape[2]))):
        assert effect(y, {0: a, 1: b}).difference.mean == pytest.approx(solved[place], abs=1e-9)


@relaxed
@given(st.integers(2, 6), st.integers(0, 1000))
def test_p_is_that_of_an_analysis_of_variance_with_seeds_as_blocks(seeds, seed):
    """F of a factor against its interaction with the seeds, from sums of squares over all runs."""
    y = draw((seeds, 2, 2, 2), seed)
    by_level, by_both = y.mean(axis=(0, 2, 3)), y.mean(axis=(2, 3))
    between = 4 * seeds * ((by_level - y.mean()) ** 2).sum()
    expected = y.mean(axis=(1, 2, 3))[:, None] + by_level[None] - y.mean()
    within = 4 * ((by_both - expected) ** 2).sum() / (seeds - 1)
    assert effect(y, {0: 1}).p == pytest.approx(fisher.sf(between / within, 1, seeds - 1), rel=1e-6)


def test_a_design_by_hand():
    """y = 1 + 3 a - 2 b + 0.5 ab, and an offset a seed: the main effects are at the mean of the other factor."""
    y = np.array([[[s + 3 * a - 2 * b + 0.5 * a * b for b in (0, 1)] for a in (0, 1)] for s in (1, 10, 100)])
    for levels, truth in (({0: 1}, 3.25), ({1: 1}, -1.75), ({0: 1, 1: 1}, 0.5)):
        found = effect(y, levels)
        assert found.difference.mean == pytest.approx(truth) and found.p is None, (
            "seeds alike: nothing to hold it against"
        )
    assert total(y).difference.mean == pytest.approx(1.5)
    assert (total(y).present, effect(y, {0: 1}).present, effect(y, {0: 1, 1: 1}).present) == (3, 6, 3)


def test_intervals_are_over_seeds_and_agree_with_scipy():
    y = draw((4, 2, 3))
    apart = (y[:, 1] - y[:, 0]).mean(axis=1)
    theirs, found = ttest_1samp(apart, 0), effect(y, {0: 1})
    assert found.p == pytest.approx(theirs.pvalue)
    assert (found.difference.low, found.difference.high) == pytest.approx(tuple(theirs.confidence_interval(0.95)))
    ends = ttest_1samp(y[:, 1, 2] - y[:, 0, 0], 0)
    assert total(y[:, :, [0, 2]]).p == pytest.approx(ends.pvalue)


def test_intervals_cover_the_truth_as_often_as_they_say():
    """A seed has its own level and its own effect, which its runs share: as units the runs would promise far too much."""
    random, covered, naive = np.random.default_rng(3), [], []
    for _ in range(600):
        y = random.normal(0, 0.1, size=(3, 2, 2, 2, 2)) + random.normal(0, 3, size=(3, 1, 1, 1, 1))
        y[:, 1] += 0.4 + random.normal(0, 0.5, size=(3, 1, 1, 1))
        interval = effect(y, {0: 1}, level=0.9).difference
        covered.append(interval.low <= 0.4 <= interval.high)
        runs = ttest_1samp((y[:, 1] - y[:, 0]).ravel(), 0.4)
        naive.append(runs.pvalue > 0.1)
    assert np.mean(covered) == pytest.approx(0.9, abs=0.04)
    assert np.mean(naive) < 0.6


def test_missing_values_take_their_pair_with_them():
    y = draw((3, 2, 2))
    y[0, 1, 0] = np.nan  # a pair of seed 0
    y[2, 0] = np.nan  # all pairs of seed 2
    found = effect(y, {0: 1})
    assert (found.present, found.missing, found.difference.n) == (3, 3, 2)
    assert found.difference.mean == pytest.approx(np.mean([y[0, 1, 1] - y[0, 0, 1], (y[1, 1] - y[1, 0]).mean()]))
    assert effect(y, {0: 1, 1: 1}).missing == 2 and total(y).missing == 1


def test_one_seed_has_no_interval_and_none_no_difference():
    y = draw((1, 2, 2))
    found = effect(y, {1: 1})
    assert found.difference.low is None and found.p is None and found.difference.n == 1
    nothing = effect(np.full((2, 2, 2), np.nan), {1: 1})
    assert nothing.difference is None and nothing.p is None and (nothing.present, nothing.missing) == (0, 4)


@pytest.mark.parametrize(
    ("call", "code", "facts"),
    [
        (lambda: effect([1.0, 2.0], {0: 1}), "wrong-shape", ["(2,)"]),
        (lambda: effect(np.zeros((2, 2)), {1: 1}), "unknown-level", ["level 1 of factor 1", "(2, 2)"]),
        (lambda: effect(np.zeros((2, 2)), {0: 0}), "unknown-level", ["level 0 of factor 0"]),
        (lambda: effect(np.zeros((2, 2)), {0: 2}), "unknown-level", ["level 2 of factor 0"]),
        (lambda: effect([[1.0, np.inf]], {0: 1}), "not-finite", []),
        (lambda: effect([[1.0, 2.0], [1.0, 3.0]], {0: 1}, level=95), "bad-level", ["95"]),
        (lambda: total(np.zeros((2, 2, 3))), "not-two-levels", ["(2, 2, 3)"]),
    ],
)
def test_errors(call, code, facts):
    with refused(code, *facts):
        call()
