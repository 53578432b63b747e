import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from baldro.errors import BaldroError
from baldro.metrics.probability import normalised_probability, probability

LOSSES = st.lists(st.floats(0, 1e4), min_size=1, max_size=30)
PLAIN = [
    *("forget_Q_A_Prob", "forget_Q_A_PARA_Prob", "retain_Q_A_Prob"),
    *("retain_Q_A_PARA_Prob", "ra_Q_A_Prob", "wf_Q_A_Prob"),
]


@pytest.mark.parametrize("metric", PLAIN)
def test_published_probabilities(tofu_log, metric):
    published = tofu_log.values(metric, "prob")
    assert np.mean(published) == tofu_log.aggregate(metric)
    ours = probability(tofu_log.values(metric, "avg_loss"))
    np.testing.assert_allclose(ours, published, rtol=3e-7, atol=0)  # theirs: exp in float32
    assert np.mean(ours) == pytest.approx(tofu_log.aggregate(metric), abs=1e-8, rel=0)


@given(LOSSES)
def test_probability_is_exp(losses):
    ours = probability(losses)
    assert ((ours >= 0) & (ours <= 1)).all()
    np.testing.assert_allclose(ours, [math.exp(-loss) for loss in losses], rtol=1e-14)


@given(st.floats(0, 1), st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_normalised_probability_is_a_share_and_forgets_the_order(correct, wrong):
    share = normalised_probability([correct], [wrong])[0]
    assert 0 <= share <= 1
    assert share == pytest.approx(normalised_probability([correct], [wrong[::-1]])[0], rel=1e-12)
    assert share <= normalised_probability([correct], [wrong[:1]])[0] * (1 + 1e-12)


def test_errors():
    with pytest.raises(BaldroError, match="avg_loss: NaN or infinite at position 1"):
        probability([0.5, math.nan])
    with pytest.raises(BaldroError, match="1 and 2 samples"):
        normalised_probability([0.5], [[0.1], [0.2]])
