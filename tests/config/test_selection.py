"""The rule of selection, whose defaults are written out; and what is excluded is asked nothing."""

import pytest
from refusals import refused

from baldro.config import load
from baldro.config.selection import P_VALUE
from baldro.metrics import METRICS

GRID = dict(benchmark="fictional", model="tiny", split="forget10", objective="npo", variant="base")


@pytest.mark.parametrize(
    ("given", "whole"),
    [
        ({"rule": "all"}, {"rule": "all"}),
        ({"rule": "best"}, {"rule": "best", "metric": "forget_quality"}),
        (
            {"rule": "best", "metric": "privleak", "lower": True, "subject_to": {"metric": "model_utility", "at_most": 2}},
            {"rule": "best", "metric": "privleak", "lower": True,
             "subject_to": {"of": "original", "metric": "model_utility", "at_most": 2}},
        ),
        (
            {"rule": "best", "subject_to": {"metric": "fluency", "at_least": 0.9, "of": "retain"}},
            {"rule": "best", "metric": "forget_quality", "subject_to": {"of": "retain", "metric": "fluency", "at_least": 0.9}},
        ),
    ],
)  # fmt: skip
def test_a_rule_is_whole_and_what_was_given_stays(given, whole):
    found = load({"name": "x", "grid": GRID, "selection": given}).selection
    assert (found, repr(found.get("subject_to"))) == (whole, repr(whole.get("subject_to"))), "2 stays 2, and is not 2.0"


def test_without_a_rule_all_is_shown():
    assert load({"name": "x", "grid": GRID}).selection == {"rule": "all"}


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


def test_the_p_value_of_which_no_effect_is_taken_is_the_catalogues():
    assert [name for name, metric in METRICS.items() if metric.p_value] == [P_VALUE]


def test_the_columns_of_the_main_tables_are_metrics_of_the_benchmarks():
    columns = ["model_utility", "fluency"]
    assert load({"name": "x", "grid": GRID, "columns": columns}).columns == tuple(columns)
    assert load({"name": "x", "grid": GRID}).columns is None
    with refused("unknown-metric", "knowmem_forget", "columns"):
        load({"name": "x", "grid": GRID, "columns": ["model_utility", "knowmem_forget"]})
