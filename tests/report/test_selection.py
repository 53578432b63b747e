"""The selection rule, held against a choice made by hand."""

import pandas as pd
import pytest
from refusals import refused

from baldro.analysis.selection import NONE_MEETS, select, varying
from baldro.report.words import describe

from .conftest import frame_of

BEST = {"rule": "best", "metric": "forget_quality"}
CELL = ["split", "objective", "variant"]


@pytest.fixture
def frame() -> pd.DataFrame:
    return frame_of()


def bound(**terms) -> dict:
    return {**BEST, "subject_to": {"metric": "model_utility", **terms}}


def chosen_betas(selected) -> dict:
    robust = selected.frame[selected.frame["variant"] == "baldro-dv"]
    return {key: set(rows["dv_beta"]) for key, rows in robust.groupby(["split", "objective"])}


def test_all_keeps_everything(frame):
    selected = select(frame, {"rule": "all"})
    assert selected.frame.equals(frame) and selected.by_point and not selected.rejected


@pytest.mark.parametrize("lower", [False, True])
def test_best_keeps_the_best_mean_over_seeds(frame, lower):
    rule = {**BEST, "metric": "forget_quality_d", "lower": lower}
    robust = frame[frame["variant"] == "baldro-dv"].astype({"dv_beta": float})
    means = robust.groupby(["split", "objective", "dv_beta"])["forget_quality_d"].mean().reset_index("dv_beta")
    picked = means.groupby(["split", "objective"])["forget_quality_d"].transform("min" if lower else "max")
    expected = means[means["forget_quality_d"] == picked]["dv_beta"]
    selected = select(frame, rule)
    assert chosen_betas(selected) == {key: {value} for key, value in expected.items()}
    assert (selected.frame.groupby([*CELL])["seed"].nunique().loc[:, ["npo", "simnpo"]] == 3).all()
    assert set(selected.frame["objective"]) == {"original", "retain", "npo", "simnpo"}


def test_a_bound_relative_to_original_rules_points_out(frame):
    utility = frame[frame["variant"] == "baldro-dv"].groupby(["split", "objective", "dv_beta"])["model_utility"].mean()
    limit = utility.loc["forget10", "npo"].sort_values().iloc[1]  # the worst beta is ruled out
    original = frame.loc[(frame["objective"] == "original") & (frame["split"] == "forget10"), "model_utility"].item()
    rule = {**bound(at_least=limit / original - 1e-9, of="original"), "lower": True}
    allowed = utility.loc["forget10", "npo"]
    allowed = set(allowed[allowed >= limit - 1e-9].index)
    assert len(allowed) == 2 and chosen_betas(select(frame, rule))["forget10", "npo"] <= allowed


def test_none_meets_the_rule(frame):
    selected = select(frame, bound(at_least=2, of="original"))
    assert set(selected.frame["objective"]) == {"original", "retain"}
    assert len(selected.rejected) == 2 * 2 * 3 and {r["reason"] for r in selected.rejected} == {NONE_MEETS}


def test_an_absolute_bound_and_an_upper_one(frame):
    assert not select(frame, bound(at_least=0.0)).rejected
    assert len(select(frame, bound(at_most=0.1)).rejected) == 12


def test_a_bound_needs_its_model():
    frame = frame_of(splits=("forget10",), lost=[(0, "download failed")])
    reasons = {r["reason"] for r in select(frame, bound(at_least=0.5, of="original")).rejected}
    assert reasons == {"no result of original to hold the rule against"}


def test_failed_runs_do_not_decide_but_stay():
    axes = {"splits": ("forget10",), "objectives": ("npo",), "variants": ("base", "baldro-g")}
    lost = [(3, "loss is NaN"), *((at, "out of memory") for at in (5, 6, 7))]  # a seed of base, all of BalDRO-G
    frame = frame_of(lost=lost, **axes)
    selected = select(frame, BEST)
    assert not selected.rejected and len(selected.frame) == len(frame)


def test_ties_go_to_the_first_point(frame):
    equal = frame.assign(forget_quality=0.5)
    assert all(betas == {1} for betas in chosen_betas(select(equal, BEST)).values())


def test_per_seeks_a_best_point_for_each_value(frame):
    betas = chosen_betas(select(frame, BEST, per=("dv_beta",)))
    assert all(found == {1, 5, 10} for found in betas.values())


def test_varying_names_only_what_tells_rows_apart():
    frame = frame_of(betas=(1, 5), seeds=(0,))
    assert varying(frame[frame["objective"] == "npo"]) == ["dv_beta"]
    one = frame[~(frame["dv_beta"] == 5)]
    assert varying(one[one["objective"] == "npo"]) == []
    by_split = one.assign(epochs=one["split"].map({"forget05": 10, "forget10": 5}))
    assert varying(by_split[by_split["objective"] == "npo"]) == []
    by_variant = one.assign(lr=one["variant"].map({"base": 1e-5, "baldro-g": 2e-5, "baldro-dv": 1e-5}))
    assert varying(by_variant[by_variant["objective"] == "npo"]) == ["lr"]


def test_the_rule_in_words(frame):
    text = describe(bound(at_least=0.95, of="original"), frame)
    assert "highest mean forget quality (p)" in text and "at least 0.95 times that of Original" in text
    assert "60 unlearning runs of 3 seeds" in text and "flatters" in text
    none = describe({"rule": "all"}, frame.assign(status="failed"))
    assert none.endswith("60 unlearning runs (60 failed) of 3 seeds.")
    assert "lowest mean" in describe({**BEST, "lower": True}, frame)


@pytest.mark.parametrize(
    ("rule", "where"),
    [
        ({"rule": "best", "metric": "utility"}, "selection"),
        ({**BEST, "subject_to": {"metric": "utility", "at_least": 1}}, "selection.subject_to"),
    ],
)
def test_a_metric_that_no_result_has_is_refused(frame, rule, where):
    with refused("unknown-metric", "utility", where):
        select(frame, rule)
