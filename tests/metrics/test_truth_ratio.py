import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.introspect import opt_func_info

from baldro.errors import BaldroError
from baldro.metrics.truth_ratio import forget_truth_ratio, truth_ratio, utility_truth_ratio

relaxed = settings(deadline=None, max_examples=50)  # first calls load packages, on machines of any speed

RATIOS = st.lists(st.floats(0, 1e10), min_size=1, max_size=30)
# published section -> (its metric, the candidate held to be right)
PUBLISHED = {
    "forget": ("forget_truth_ratio", "PARA_Prob"),
    "retain": ("retain_Truth_Ratio", "PARA_Prob"),
    "ra": ("ra_Truth_Ratio", "Prob"),
    "wf": ("wf_Truth_Ratio", "Prob"),
}


@pytest.mark.parametrize("section", PUBLISHED)
def test_published_truth_ratios(tofu_log, section):
    """To the bit where numpy's exp runs on AVX-512, as for the logs; its other exp differs in the last places."""
    metric, right = PUBLISHED[section]
    correct, wrong = (tofu_log.values(f"{section}_Q_A_{what}", "avg_loss") for what in (right, "PERT_Prob"))
    ours, published = truth_ratio(correct, wrong), tofu_log.values(metric)
    np.testing.assert_array_max_ulp(ours, published, maxulp=4)
    if opt_func_info("^exp$", "float64")["exp"]["dd"]["current"].startswith(("AVX512", "X86_V4")):  # by numpy's age
        assert ours.tolist() == published.tolist()


@pytest.mark.parametrize("section", PUBLISHED)
def test_published_aggregates_to_the_bit(tofu_log, section):
    metric, _ = PUBLISHED[section]
    aggregate = forget_truth_ratio if section == "forget" else utility_truth_ratio
    assert aggregate(tofu_log.values(metric)) == tofu_log.aggregate(metric)


@relaxed
@given(st.floats(0, 15), st.lists(st.floats(0, 30), min_size=1, max_size=6))
def test_the_ratio_is_geometric_mean_over_probability(correct, wrong):
    geometric = math.prod(math.exp(-loss) for loss in wrong) ** (1 / len(wrong))
    expected = geometric / (math.exp(-correct) + 1e-10)
    assert truth_ratio([correct], [wrong])[0] == pytest.approx(expected, rel=1e-9)


@relaxed
@given(RATIOS)
def test_aggregates_stay_in_bounds(ratios):
    assert 0 <= forget_truth_ratio(ratios) <= 1
    assert 0 <= utility_truth_ratio(ratios) <= 1


@relaxed
@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=30))
def test_the_forget_aggregate_is_blind_to_which_side_is_likelier(ratios):
    assert forget_truth_ratio(ratios) == pytest.approx(forget_truth_ratio([1 / r for r in ratios]), rel=1e-6)


def test_aggregates_by_hand():
    assert forget_truth_ratio([1.0, 0.0]) == pytest.approx(0.5)
    assert utility_truth_ratio([0.0, 0.5, 3.0]) == pytest.approx(0.5)


def test_errors():
    with pytest.raises(BaldroError, match="wrong loss: NaN or infinite at position 0, 1"):
        truth_ratio([1.0], [[1.0, math.nan]])
    with pytest.raises(BaldroError, match="2 and 1 samples"):
        truth_ratio([1.0, 1.0], [[1.0]])
    for aggregate in (forget_truth_ratio, utility_truth_ratio):
        with pytest.raises(BaldroError, match="truth ratios"):
            aggregate(np.array([]))
