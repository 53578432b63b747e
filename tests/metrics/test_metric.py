"""The registry of metrics: roles, their order, and what is refused."""

from dataclasses import replace

import pytest

from baldro.errors import BaldroError
from baldro.metrics import METRICS, register, shown
from baldro.metrics.metric import COMPARISON, EFFECT, MEMORY, ROLES, SENTENCE, STRENGTH, TRADEOFF_X, TRADEOFF_Y

UTILITY = METRICS["model_utility"]
SHOWN = {  # what readers see, in this order
    SENTENCE: "forget_quality_d model_utility verbmem_forget knowmem_forget knowmem_retain",
    EFFECT: "forget_quality_d model_utility extraction_strength verbmem_forget knowmem_forget knowmem_retain",
    STRENGTH: "forget_quality forget_quality_d model_utility verbmem_forget knowmem_forget knowmem_retain",
    MEMORY: "forget_probability exact_memorization forget_rouge verbmem_forget knowmem_forget",
    TRADEOFF_X: "model_utility",
    TRADEOFF_Y: "forget_quality",
}


@pytest.mark.parametrize("role", SHOWN)
def test_each_role_has_its_metrics_in_order(role):
    assert shown(role) == SHOWN[role].split()
    assert shown(role, ["model_utility", "seed"]) == [name for name in SHOWN[role].split() if name == "model_utility"]


def test_what_is_said_in_a_sentence_is_compared_and_can_be_tested():
    assert set(shown(SENTENCE)) <= set(shown(COMPARISON))
    assert all(METRICS[name].paired for name in shown(COMPARISON))
    assert not any(METRICS[name].p_value for name in (*shown(COMPARISON), *shown(EFFECT)))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({}, "metric model_utility is registered twice"),
        ({"name": "other", "shown": {"nowhere": 1}}, f"shown in 'nowhere'; allowed: {', '.join(ROLES)}"),
        ({"name": "other", "better": "left"}, "metric other: better 'left'"),
        ({"name": "other", "low": 1.0}, "range 1 to 1; allowed: better up, down or empty; low below high"),
    ],
)
def test_what_contradicts_itself_is_refused(change, text):
    before = dict(METRICS)
    with pytest.raises(BaldroError) as caught:
        register(replace(UTILITY, **change))
    assert text in str(caught.value) and before == METRICS
