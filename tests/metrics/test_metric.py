"""The registry of metrics: roles, their order, and what is refused."""

from dataclasses import replace

import pytest
from refusals import refused

from baldro.benchmarks import KINDS
from baldro.config.selection import check_metrics
from baldro.config.yamlfile import Places
from baldro.errors import BaldroError
from baldro.metrics import METRICS, register, shown
from baldro.metrics.metric import COMPARISON, EFFECT, MEMORY, ROLES, SENTENCE, STRENGTH, TRADEOFF_X, TRADEOFF_Y

UTILITY = METRICS["model_utility"]
QUIZ = (
    " wmdp_bio wmdp_cyber wmdp_chem mmlu choice_forget choice_retain lume_regurgitation_forget lume_knowledge_forget"
    " lume_regurgitation_retain lume_knowledge_retain rwku_forget rwku_neighbours"
)
SHOWN = {  # what readers see, in this order
    SENTENCE: "forget_quality_d model_utility verbmem_forget knowmem_forget knowmem_retain" + QUIZ,
    EFFECT: "forget_quality_d model_utility extraction_strength verbmem_forget knowmem_forget knowmem_retain" + QUIZ,
    STRENGTH: "forget_quality forget_quality_d model_utility verbmem_forget knowmem_forget knowmem_retain" + QUIZ,
    MEMORY: "forget_probability exact_memorization forget_rouge verbmem_forget knowmem_forget wmdp_bio wmdp_cyber wmdp_chem "
    "choice_forget lume_regurgitation_forget lume_knowledge_forget rwku_forget",
    TRADEOFF_X: "model_utility mmlu choice_retain lume_regurgitation_retain rwku_neighbours",
    TRADEOFF_Y: "forget_quality wmdp choice_forget lume_regurgitation_forget rwku_forget",
}


@pytest.mark.parametrize("role", SHOWN)
def test_each_role_has_its_metrics_in_order(role):
    assert shown(role) == SHOWN[role].split()
    assert shown(role, ["model_utility", "seed"]) == [name for name in SHOWN[role].split() if name == "model_utility"]


def test_what_is_said_in_a_sentence_is_compared_and_can_be_tested():
    assert set(shown(SENTENCE)) <= set(shown(COMPARISON))
    assert all(METRICS[name].paired for name in shown(COMPARISON))
    assert not any(METRICS[name].p_value for name in (*shown(COMPARISON), *shown(EFFECT)))


def test_a_metric_that_names_a_kind_is_of_its_forms_too_and_a_config_may_name_it(monkeypatch):
    """The fictional benchmark is a form of TOFU."""
    monkeypatch.setitem(METRICS, "mine", replace(UTILITY, name="mine", kinds=("tofu",)))
    assert [kind for kind in KINDS if METRICS["mine"].of(kind)] == ["fictional", "tofu"]
    asked = [(["selection", "metric"], "mine")]
    check_metrics(asked, ["fictional"], Places([]))
    with pytest.raises(BaldroError, match="'mine'"):
        check_metrics(asked, ["muse"], Places([]))


@pytest.mark.parametrize(
    ("change", "code", "facts"),
    [
        ({}, "registered-twice", ["model_utility"]),
        ({"name": "other", "shown": {"nowhere": 1}}, "unknown-role", ["metric other", "'nowhere'", *ROLES]),
        ({"name": "other", "better": "left"}, "metric-ill-defined", ["metric other", "'left'"]),
        ({"name": "other", "low": 1.0}, "metric-ill-defined", ["metric other", "1 to 1"]),
    ],
)
def test_what_contradicts_itself_is_refused(change, code, facts):
    before = dict(METRICS)
    with refused(code, *facts):
        register(replace(UTILITY, **change))
    assert before == METRICS
