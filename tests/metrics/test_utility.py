import pytest
from hypothesis import given
from hypothesis import strategies as st
from refusals import refused
from scipy.stats import hmean

from baldro.errors import BaldroError
from baldro.metrics.utility import PARTS, harmonic_mean, model_utility

VALUES = st.lists(st.floats(1e-6, 1), min_size=1, max_size=12)


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
    with refused("number-out-of-range", -0.5):
        harmonic_mean([1.0, -0.5])
    with pytest.raises(BaldroError, match="NaN"):
        harmonic_mean([float("nan")])
    with refused("value-missing", "real_authors_rouge"):
        model_utility({name: 0.5 for name in PARTS if name != "real_authors_rouge"})
