"""Comparisons that Holm's method corrects together: which belong to a family, and families too large to be tested."""

import numpy as np
import pandas as pd
import pytest

from baldro.analysis.comparisons import NOTHING, compare, differences_table
from baldro.analysis.paired import MOST, paired_test, too_many
from baldro.analysis.samples import RATIOS
from baldro.analysis.significance import ALPHA
from baldro.report.findings import difference_findings
from baldro.stats import holm

from .conftest import made

ALL = {"rule": "all"}
P, D = "forget_probability", "forget_quality_d"
REASON = "not tested: 500 comparisons need more than 9,999 relabellings"


@pytest.fixture
def pair() -> tuple[pd.DataFrame, dict]:
    """Original, Retain, one run of base and one of BalDRO-DV, told apart by P and D only."""
    axes = {"splits": ("forget10",), "objectives": ("npo",), "variants": ("base", "baldro-dv"), "seeds": (0,)}
    frame, samples = made(**axes, betas=(5,), samples=30)
    others = {"model_utility", "exact_memorization", "retain_probability"}
    return frame.drop(columns=sorted(others & set(frame))), samples


def many(pair, count: int, *, model: str, size: int = 5, changes=()) -> tuple[pd.DataFrame, dict]:
    """The pair as `count` robust points of different beta that share a base; `changes`: (field, value) of one point each.

    Every run has the values of its first `size` samples; the robust ones are Retain's, base's lie far from them.
    """
    frame, samples = pair
    robust = frame[frame["variant"] == "baldro-dv"].loc[lambda rows: rows.index.repeat(count)]
    robust = robust.assign(dv_beta=[float(i + 1) for i in range(count)]).reset_index(drop=True)
    for at, (name, value) in enumerate(changes):
        robust[name] = [*robust[name][:at], value, *robust[name][at + 1 :]]
    frame = pd.concat([frame[frame["variant"] != "baldro-dv"], robust], ignore_index=True)
    old = list(frame["id"])
    frame = frame.assign(model=model, id=[f"{model}-{i}" for i in range(len(frame))])
    shared = {run: {name: values[:size] for name, values in own.items()} for run, own in samples.items()}
    retain = shared[old[1]]
    base, near = {P: retain[P] + 0.5, RATIOS: retain[RATIOS] * 1000}, {P: retain[P], RATIOS: retain[RATIOS]}
    values = {"base": base, "baldro-dv": near}
    of_run = zip(frame["id"], old, frame["variant"], strict=True)
    return frame, {new: values.get(variant, shared[run]) for new, run, variant in of_run}


def joined(*parts: tuple[pd.DataFrame, dict]) -> tuple[pd.DataFrame, dict]:
    return pd.concat([frame for frame, _ in parts], ignore_index=True), {
        k: v for _, own in parts for k, v in own.items()
    }


def test_the_largest_family_that_is_tested_can_still_say_something():
    """With differences that no relabelling reaches, the smallest p there is, and as Holm's method leaves it."""
    a, b = ({P: pd.Series(np.full(60, value))} for value in (0.9, 0.1))
    smallest = paired_test(P, [a], [b], None).p
    assert smallest == pytest.approx(1 / (MOST + 1))
    for count in (1, 240, 499, 500, 512, 2000):
        assert too_many(count) == (holm(np.full(count, smallest)).min() >= ALPHA), count


def test_a_family_that_is_too_large_is_not_tested_and_says_so(pair):
    """500 comparisons of one model are too many, 499 of another are not."""
    found = compare(*_with(joined(many(pair, 500, model="large"), many(pair, 499, model="small"))))
    large, small = ([c for c in found if c.model == model] for model in ("large", "small"))
    assert len(large) == 2 * 500 and {c.metric for c in large} == {P, D}
    for c in large:
        assert c.test is None and c.p_holm is None and c.over_samples == REASON
        assert c.difference is not None and c.verdict == f"over seeds {c.over_seeds}; over samples {REASON}"
    assert all(c.test is not None and c.p_holm is not None and c.over_samples == NOTHING for c in small)


def test_every_place_that_tells_it_says_the_same(pair):
    found = compare(*_with(many(pair, 500, model="large")))
    table = differences_table(found)
    assert table[["p_samples", "p_holm", "effect"]].isna().all(axis=None) and set(table["samples"]) == {0}
    assert set(table["over_samples"]) == {REASON} and table["verdict"].str.endswith(REASON).all()
    told, explained, *_ = difference_findings(found)
    assert f"over samples no verdict in 500 ({REASON})" in told and NOTHING not in told
    assert "permutation test" in explained


def test_what_cannot_be_paired_does_not_count(pair):
    """No shared seed, no base of equal settings, no result, no base of that objective: 499 are left."""
    changes = [("seed", 7), ("lr", 0.5), ("status", "failed"), ("objective", "simnpo")]
    found = compare(*_with(many(pair, 499 + len(changes), model="large", changes=changes)))
    tested = [c for c in found if c.difference is not None]
    assert len(tested) == 2 * 499 and all(c.p_holm is not None for c in tested)


def test_what_has_no_values_per_sample_does_not_count(pair):
    frame, samples = many(pair, 500, model="large")
    last = samples.pop(frame["id"].iloc[-1])
    found = compare(frame, ALL, samples)
    assert sum(c.p_holm is not None for c in found) == 2 * 499
    assert {c.over_samples for c in found if c.test is None} == {"not tested"}
    samples[frame["id"].iloc[-1]] = {P: last[P]}
    assert {c.metric for c in compare(frame, ALL, samples) if c.over_samples == REASON} == {P}


def test_relabellings_are_those_that_the_family_needs(pair):
    """30 comparisons each of two models: 1199, not the 2399 of 60."""
    parts = joined(many(pair, 30, model="one", size=30), many(pair, 30, model="other", size=30))
    ps = {c.test.p for c in compare(*_with(parts)) if c.metric == D}
    assert ps == {1 / 1200}


def _with(study: tuple[pd.DataFrame, dict]) -> tuple[pd.DataFrame, dict, dict]:
    return study[0], ALL, study[1]
