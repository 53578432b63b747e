"""The rule of selection: its defaults are the schema's, and written out; and what is excluded is asked nothing."""

import pytest
import yaml

from baldro.runs import load
from baldro.runs.loading import SCHEMA
from baldro.runs.rule import METRIC, OF, settle

GRID = dict(benchmark="fictional", model="tiny", split="forget10", objective="npo", variant="base")


def test_defaults_are_those_that_the_schema_tells():
    properties = yaml.safe_load(SCHEMA.read_text())["properties"]["selection"]["properties"]
    assert properties["rule"]["default"] == "all" and settle(None) == settle({"rule": "all"}) == {"rule": "all"}
    assert properties["metric"]["default"] == METRIC
    assert properties["subject_to"]["properties"]["of"]["default"] == OF


@pytest.mark.parametrize(
    ("given", "whole"),
    [
        ({"rule": "best"}, {"rule": "best", "metric": "forget_quality"}),
        (
            {"rule": "best", "metric": "privleak", "lower": True, "subject_to": {"metric": "model_utility", "at_most": 2}},
            {"rule": "best", "metric": "privleak", "lower": True,
             "subject_to": {"metric": "model_utility", "at_most": 2, "of": "original"}},
        ),
        (
            {"rule": "best", "subject_to": {"metric": "fluency", "at_least": 0.9, "of": "retain"}},
            {"rule": "best", "metric": "forget_quality", "subject_to": {"metric": "fluency", "at_least": 0.9, "of": "retain"}},
        ),
    ],
)  # fmt: skip
def test_a_rule_is_whole_and_what_was_given_stays(given, whole):
    assert load({"name": "x", "grid": GRID, "selection": given}).selection == whole


def test_what_is_excluded_need_not_be_possible():
    """TOFU has no other answers unless it is given some."""
    both = {**GRID, "objective": ["npo", "altpo"]}
    config = {
        "name": "x",
        "grid": [both, {**both, "benchmark": "tofu-440", "split": "forget01"}],
        "exclude": [{"benchmark": "tofu-440", "objective": "altpo"}],
    }
    runs = {(run.benchmark, run.objective) for run in load(config).runs}
    assert runs >= {("fictional", "altpo"), ("tofu-440", "npo")} and ("tofu-440", "altpo") not in runs


def test_one_block_may_have_an_axis_for_another():
    """Common fields of several blocks: it matters to some run."""
    blocks = [{**GRID, "dv_beta": [1, 2]}, {**GRID, "variant": "baldro-dv", "dv_beta": [1, 2]}]
    assert len([run for run in load({"name": "x", "grid": blocks}).runs if run.objective == "npo"]) == 3
