import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import hmean

from baldro.errors import BaldroError
from baldro.metrics.utility import PARTS, harmonic_mean, model_utility

VALUES = st.lists(st.floats(1e-6, 1), min_size=1, max_size=12)
PUBLISHED = {
    "retain_probability": "retain_Q_A_Prob",
    "retain_rouge": "retain_Q_A_ROUGE",
    "retain_truth_ratio": "retain_Truth_Ratio",
    "real_authors_probability": "ra_Q_A_Prob_normalised",
    "real_authors_rouge": "ra_Q_A_ROUGE",
    "real_authors_truth_ratio": "ra_Truth_Ratio",
    "world_facts_probability": "wf_Q_A_Prob_normalised",
    "world_facts_rouge": "wf_Q_A_ROUGE",
    "world_facts_truth_ratio": "wf_Truth_Ratio",
}


def test_published_model_utility_to_the_bit(tofu_log):
    values = {ours: tofu_log.aggregate(theirs) for ours, theirs in PUBLISHED.items()}
    assert model_utility(values) == tofu_log.aggregate("model_utility")


def test_the_nine_parts():
    assert set(PARTS) == set(PUBLISHED)
    assert len(PARTS) == 9


@given(VALUES)
def test_harmonic_mean_against_scipy_and_its_bounds(values):
    ours = harmonic_mean(values)
    assert ours == pytest.approx(hmean(values), rel=1e-12)
    assert min(values) * (1 - 1e-12) <= ours <= sum(values) / len(values) * (1 + 1e-12)


@given(VALUES)
def test_one_zero_is_enough(values):
    assert harmonic_mean([*values, 0.0]) == 0
    assert harmonic_mean([*values, 5e-324]) == pytest.approx(0)


def test_errors():
    with pytest.raises(BaldroError, match=r"harmonic mean: -0\.5 is negative"):
        harmonic_mean([1.0, -0.5])
    with pytest.raises(BaldroError, match="NaN"):
        harmonic_mean([float("nan")])
    with pytest.raises(BaldroError, match="no value for real_authors_rouge"):
        model_utility({name: 0.5 for name in PARTS if name != "real_authors_rouge"})
