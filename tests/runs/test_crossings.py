"""Crossed factors: which runs belong together, which level is the reference, and what is no crossing."""

import pytest
from refusals import refused

from baldro.config import load
from baldro.runs import crossings
from baldro.runs.run import Run

FACTORS = ["dv_direction", "robust_scope", "precision"]
GRID = {
    "benchmark": "fictional",
    "model": "tiny",
    "split": ["forget05", "forget10"],
    "objective": ["npo", "simnpo"],
    "variant": "baldro-dv",
    "dv_direction": ["easy", "hard"],
    "robust_scope": ["micro-batch", "batch"],
    "precision": ["bf16", "bf16-only"],
    "seed": [0, 1],
}


def config(*, factors=FACTORS, exclude=(), more=(), **axes) -> dict:
    grid = [GRID | axes, *({**GRID, **block} for block in more)]
    attribution = {"factors": list(factors)}
    return {"name": "t", "grid": grid, "exclude": list(exclude), "attribution": attribution}


def found(**given):
    experiment = load(config(**given))
    rows = [run.asdict() for run in experiment.runs if run.objective not in ("original", "retain")]
    return crossings(rows, experiment.attribution["factors"])


def test_a_crossing_a_method_and_split():
    parts = found()
    assert [(c.shared["split"], c.shared["objective"]) for c in parts] == [
        (split, objective) for split in ("forget05", "forget10") for objective in ("npo", "simnpo")
    ]
    for crossing in parts:
        assert crossing.seeds == (0, 1) and len(crossing.rows) == 2**4
        for (seed, *levels), row in crossing.rows.items():
            assert [row[name] for name in (*crossing.levels, "seed")] == [*levels, seed]


def test_the_reference_is_the_default_and_otherwise_what_is_named_first():
    crossing = found()[0]
    assert crossing.levels == {
        "dv_direction": ("hard", "easy"),
        "robust_scope": ("batch", "micro-batch"),
        "precision": ("bf16", "bf16-only"),  # fp32, the default, is not among them
    }
    (one, *_) = found(objective="simnpo", factors=["forget_weight"], forget_weight=[1, 0.125], dv_direction="hard")
    assert one.levels == {"forget_weight": (0.125, 1)}, "the objective's own default"


def test_a_field_of_one_level_is_no_setting_of_its_own():
    for row in found()[0].rows.values():
        assert (row["micro_batch_size"] is None) == (row["robust_scope"] == "batch")
    with refused("crossing-has-doubles", "'micro_batch_size'"):
        found(micro_batch_size=[4, 8])


def test_other_settings_are_crossings_of_their_own_and_single_points_none():
    assert [c.shared["lr"] for c in found(lr=[1e-5, 2e-5], split="forget05", objective="npo")] == [1e-5, 2e-5]
    sweep = {"dv_beta": [1, 5], "dv_direction": "hard", "robust_scope": "batch", "precision": "bf16"}
    assert len(found(more=[sweep])) == 4


def test_a_method_without_a_factor_has_the_others():
    parts = found(variant=["base", "baldro-dv"], objective="npo", split="forget05")
    levels = {c.shared["variant"]: list(c.levels) for c in parts}
    assert levels == {"base": ["robust_scope", "precision"], "baldro-dv": FACTORS}


@pytest.mark.parametrize(
    ("given", "code", "facts"),
    [
        ({"factors": ["dv_directon"]}, "unknown-factor", ["mean dv_direction?"]),
        ({"factors": ["seed"]}, "unknown-factor", ["'seed'"]),
        ({"factors": ["split"]}, "unknown-factor", ["'split'"]),
        ({"factors": ["lr"]}, "factor-does-not-vary", ["'lr'"]),
        (
            {
                "exclude": [
                    {"objective": "npo", "seed": 1, "dv_direction": "easy", "precision": "bf16", "split": "forget05"}
                ]
            },
            "crossing-incomplete",
            ["fictional, tiny, forget05, npo, baldro-dv", "dv_direction easy", "precision bf16, seed 1"],
        ),
    ],
    ids=["name", "seed", "identity", "one value", "incomplete"],
)
def test_what_is_no_crossing_is_refused(given, code, facts):
    with refused(code, *facts):
        load(config(**given))


def test_without_the_key_there_is_none():
    plain = {key: value for key, value in config().items() if key != "attribution"}
    assert load(plain).attribution is None


def test_levels_that_go_with_another_setting_are_not_crossed():
    blocks = [{**GRID, "precision": p, "lr": lr} for p, lr in (("bf16", 1e-5), ("bf16-only", 2e-5))]
    with refused("factor-does-not-vary", "'precision'"):
        load({"name": "t", "grid": blocks, "attribution": {"factors": ["precision"]}})


def test_a_field_that_is_not_there_for_all_is_no_factor():
    names = {"benchmark": "b", "model": "m", "split": "s", "objective": "npo", "variant": "baldro-dv"}
    runs = [Run.of(**names, robust_scope="batch")]
    runs += [Run.of(**names, robust_scope="micro-batch", micro_batch_size=size) for size in (4, 8)]
    with refused("factor-not-of-all", "'micro_batch_size'", "b, m, s, npo, baldro-dv"):
        crossings([run.asdict() for run in runs], ["robust_scope", "micro_batch_size"])
    (only,) = crossings([run.asdict() for run in runs], ["micro_batch_size"])
    assert only.levels == {"micro_batch_size": (8, 4)} and len(only.rows) == 2
