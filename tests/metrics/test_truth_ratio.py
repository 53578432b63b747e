import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from baldro.errors import BaldroError
from baldro.metrics.truth_ratio import closer_to_one, true_better, truth_ratio

RATIOS = st.lists(st.floats(0, 1e10), min_size=1, max_size=30)


@given(st.floats(0, 15), st.lists(st.floats(0, 30), min_size=1, max_size=6))
def test_the_ratio_is_geometric_mean_over_probability(correct, wrong):
    geometric = math.prod(math.exp(-loss) for loss in wrong) ** (1 / len(wrong))
    expected = geometric / (math.exp(-correct) + 1e-10)
    assert truth_ratio([correct], [wrong])[0] == pytest.approx(expected, rel=1e-9)


def test_the_mean_by_hand():
    """Wrong answers of probability 1/2 and 1/8: their geometric mean is 1/4."""
    assert truth_ratio(np.log([2.0]), np.log([[2.0, 8.0]]))[0] == pytest.approx(0.5)


def test_the_constant_keeps_an_impossible_answer_finite():
    assert truth_ratio([1e4], [[0.0]])[0] == 1 / 1e-10


@given(RATIOS)
def test_what_becomes_of_a_ratio(ratios):
    for ratio, folded, left in zip(ratios, closer_to_one(ratios), true_better(ratios), strict=True):
        assert folded == min(ratio, 1 / (ratio + 1e-10))
        assert left == max(0, 1 - ratio)
        assert 0 <= folded <= 1
        assert 0 <= left <= 1


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=30))
def test_folding_is_blind_to_which_side_is_likelier(ratios):
    np.testing.assert_allclose(closer_to_one(ratios), closer_to_one([1 / r for r in ratios]), rtol=1e-6)


def test_by_hand():
    assert closer_to_one([1.0, 0.0, 4.0]).tolist() == pytest.approx([1.0, 0.0, 0.25])
    assert true_better([0.0, 0.5, 3.0]).tolist() == [1.0, 0.5, 0.0]


def test_errors():
    with pytest.raises(BaldroError, match="wrong loss: NaN or infinite at position 0, 1"):
        truth_ratio([1.0], [[1.0, math.nan]])
    with pytest.raises(BaldroError, match="correct loss: NaN"):
        truth_ratio([math.inf], [[1.0]])
    with pytest.raises(BaldroError, match="2 and 1 samples"):
        truth_ratio([1.0, 1.0], [[1.0]])
    with pytest.raises(BaldroError, match="wrong loss: shape"):
        truth_ratio([1.0], [1.0])


@pytest.mark.parametrize("aggregate", [closer_to_one, true_better])
def test_errors_of_both_aggregates(aggregate):
    for values in ([], [math.nan]):
        with pytest.raises(BaldroError, match="truth ratios"):
            aggregate(np.array(values))
