import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from baldro.errors import BaldroError
from baldro.metrics.forget_quality import forget_quality, forget_quality_d

SAMPLES = st.lists(st.floats(0, 1e3), min_size=1, max_size=40)
FORGET01 = {  # D = k/40 on 40 against 40 samples -> p
    **{4: 0.9900, 5: 0.9188, 6: 0.7659, 7: 0.5786, 8: 0.4046, 9: 0.2657, 10: 0.1650},
    **{11: 0.0971, 12: 0.0541, 13: 0.0286, 14: 0.0143, 15: 0.0068, 16: 0.0030, 17: 0.0013},
}


@pytest.mark.parametrize("k", FORGET01)
def test_the_values_that_forget01_can_take(k):
    retain = np.arange(40.0)
    model = retain + k - 0.5  # the k smallest of the retain model's lie below all of the model's
    assert forget_quality_d(model, retain) == pytest.approx(k / 40)
    assert round(forget_quality(model, retain), 4) == FORGET01[k]


@given(SAMPLES, SAMPLES)
def test_symmetric_and_in_bounds(a, b):
    assert 0 <= forget_quality(a, b) <= 1
    assert 0 <= forget_quality_d(a, b) <= 1
    assert forget_quality(a, b) == pytest.approx(forget_quality(b, a))
    assert forget_quality_d(a, b) == pytest.approx(forget_quality_d(b, a))


@given(SAMPLES)
def test_a_model_against_itself(a):
    assert forget_quality(a, a) == 1
    assert forget_quality_d(a, a) == 0


@given(SAMPLES, SAMPLES)
def test_d_is_the_largest_gap_between_the_distributions(a, b):
    gaps = [abs(np.mean(np.array(a) <= x) - np.mean(np.array(b) <= x)) for x in a + b]
    assert forget_quality_d(a, b) == pytest.approx(max(gaps))


@pytest.mark.parametrize("n", [5, 7, 200, 400])
def test_the_smallest_distance_is_no_difference_and_no_warning(n):
    """Sizes where scipy's exact p rounds above 1."""
    assert forget_quality(np.arange(n), np.arange(n) + 0.5) == pytest.approx(1, abs=1e-4)


def test_errors():
    with pytest.raises(BaldroError, match="the retain model's truth ratios: NaN"):
        forget_quality([1.0], [np.nan])
    with pytest.raises(BaldroError, match="truth ratios: shape"):
        forget_quality_d([], [1.0])
