"""Labels, order and looks of many methods: each has its own, and those that were there before keep theirs."""

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from baldro.analysis.labels import (
    field_label,
    hyperparameter_label,
    level_label,
    method_label,
    objective_rank,
    variant_label,
    variant_rank,
)
from baldro.report import read_frame
from baldro.report.figures.canvas import house_style, legend_below, objective_handles, panels
from baldro.report.figures.strength import STRENGTHS, draw_strength, swept
from baldro.report.figures.tradeoff import draw_tradeoff
from baldro.report.style import COLOURS, MARKERS, look, variant_marker
from baldro.report.tables import build_tables
from baldro.runs import COMBINERS, OBJECTIVES, VARIANTS, Run

UNLEARN = list(OBJECTIVES)
ALL = {"rule": "all"}


def frame_of(runs: list[Run]) -> pd.DataFrame:
    """A frame of runs with invented numbers; no files."""
    n = {"benchmark": "tofu", "model": "m", "split": "forget05"}
    runs = [*(Run.of(**n, objective=objective) for objective in ("original", "retain")), *runs]
    rows = {run.id: {"id": run.id, **run.asdict()} for run in runs}
    frame = read_frame(runs=list(rows.values()), results=Path("nowhere"), allow_missing=True)
    random, at = np.random.default_rng(0), list(frame.columns).index("seconds")
    for name in ("model_utility", "forget_quality_d", "forget_quality"):
        frame.insert(at, name, random.uniform(0.2, 0.8, size=len(frame)))
    return frame.assign(status="ok", reason=None)


def run(objective: str = "npo", variant: str = "base", **fields) -> Run:
    return Run.of(benchmark="tofu", model="m", split="forget05", objective=objective, variant=variant, **fields)


def test_every_method_has_a_label():
    labels = [method_label(objective, variant) for objective, variant in product(UNLEARN, VARIANTS)]
    assert len(set(labels)) == len(labels) and method_label("npo", "base") == "NPO"
    assert all(variant_label(name) == VARIANTS[name].label for name in VARIANTS)
    assert method_label("mine", "own") == "mine + own"


def test_a_combiner_is_told_unless_it_is_the_usual_one():
    assert method_label("npo", "base", {"combiner": "blur"}) == f"NPO ({COMBINERS['blur'].label})"
    assert method_label("npo", "baldro-dv", {"combiner": "sum", "dv_beta": 2}) == "NPO + BalDRO-DV (beta_dv 2)"
    assert hyperparameter_label({"combiner": "sum"}) == COMBINERS["sum"].label
    frame = frame_of([run(seed=0), run(seed=0, combiner="blur"), run("simnpo", seed=0)])
    (table,) = build_tables(frame, ALL)
    assert [row.label for row in table.rows[2:]] == ["NPO", f"NPO ({COMBINERS['blur'].label})", "SimNPO"]


def test_labels_of_fields_and_levels():
    assert field_label("dv_beta") == "beta_dv" and field_label("retain_dv_beta") == "retain beta_dv"
    assert field_label("retain_weight") == "retain weight"
    assert level_label("dv_direction", "easy") == "released sign" and level_label("lr", 2e-5) == "lr=2e-05"


def test_the_order_is_that_of_the_paper_then_of_the_grid():
    ranked = sorted(["zzz", *OBJECTIVES, "retain", "original"], key=objective_rank)
    first = ["original", "retain", "npo", "simnpo", "satimp", "gradascent", "graddiff"]
    assert ranked[:7] == first and ranked[7:-1] == [name for name in OBJECTIVES if name not in first]
    assert ranked[-1] == "zzz"
    variants = sorted(["zzz", *VARIANTS], key=variant_rank)
    assert variants[:3] == ["base", "baldro-g", "baldro-dv"] and variants[-1] == "zzz"


def test_looks_of_sixteen_objectives_and_more_are_all_different():
    others = [*UNLEARN, "mine", "yours", "theirs"]
    looks = [look(name, others) for name in others]
    assert (
        len({(own.colour, own.edge) for own in looks})
        == len({(own.colour, own.marker) for own in looks})
        == len(others)
    )
    assert all(look(name, others).colour == COLOURS[name] for name in COLOURS if name in others)
    assert looks == [look(name, list(reversed(others))) for name in others], "whatever their order in the frame"


def test_markers_of_variants_are_all_different():
    names = ["original", "retain", *VARIANTS, "own"]
    markers = [variant_marker(name, [*VARIANTS, "own"]) for name in names]
    assert len(set(markers)) == len(names)
    assert [variant_marker(name, names) for name in MARKERS] == list(MARKERS.values())


def test_a_long_legend_makes_room_for_itself():
    with house_style():
        figure, axes = panels(1, 1)
        figure.draw_without_rendering()
        before = axes[0, 0].get_position().height * figure.get_figheight()
        legend_below(figure, objective_handles(UNLEARN, others=UNLEARN))
        figure.draw_without_rendering()
        after = axes[0, 0].get_position().height * figure.get_figheight()
        box = figure.legends[0].get_window_extent().transformed(figure.dpi_scale_trans.inverted())
    assert after > 0.75 * before and box.y0 >= 0 and box.x0 >= 0 and box.x1 <= figure.get_figwidth()
    assert box.y1 <= axes[0, 0].get_position().y0 * figure.get_figheight(), "not on the data"


def test_quality_against_utility_of_every_method():
    frame = frame_of([run(objective, variant, seed=0) for objective, variant in product(UNLEARN, VARIANTS)])
    with house_style():
        sketch = draw_tradeoff(frame, ALL)
        labels = [text.get_text() for text in sketch.figure.legends[0].get_texts()]
    assert labels == [
        *(OBJECTIVES[name].label for name in sorted(UNLEARN, key=objective_rank)),
        *(VARIANTS[name].label or name for name in sorted(VARIANTS, key=variant_rank)),
    ]


@pytest.mark.parametrize("field", STRENGTHS)
def test_the_sweep_of_every_strength_is_drawn(field):
    variant = next(name for name in VARIANTS if field in VARIANTS[name].fields)
    settings = [0.1, 0.5, 0.9]
    runs = [run("npo", variant, seed=seed, **{field: value}) for value, seed in product(settings, (0, 1))]
    frame = frame_of([*runs, *(run(seed=seed) for seed in (0, 1)), run("simnpo", variant, seed=0)])
    assert set(swept(frame, field)["objective"]) == {"npo"}
    with house_style():
        sketch = draw_strength(frame, ALL, field)
    assert VARIANTS[variant].label in sketch.caption and STRENGTHS[field].title == sketch.title
    panel = next(axes for axes in sketch.figure.axes if "utility" in axes.get_ylabel())
    line = next(one for one in panel.lines if len(one.get_xdata()) == 3 and one.get_linestyle() == "-")
    own = frame[frame[field].notna() & (frame["objective"] == "npo")]
    means = own.groupby(own[field].astype(float))["model_utility"].mean()
    np.testing.assert_allclose(line.get_xdata(), means.index)
    np.testing.assert_allclose(line.get_ydata(), means)
    base = frame[(frame["variant"] == "base") & (frame["objective"] == "npo")]["model_utility"].mean()
    assert any(np.allclose(one.get_ydata(), base) for one in panel.lines)


def test_a_run_that_starts_from_another_row_is_called_after_it():
    first = "tofu--m--forget05--npo--baldro-dv--lr=0.001"
    assert method_label("relearn", "base", {"parent": first, "max_steps": 5}) == (
        "Relearned (after NPO + BalDRO-DV of forget05 (lr 0.001), max steps 5)"
    )
    assert method_label("scored", "base", {"parent": f"{first}--npo--split=forget10"}) == (
        "Scored (after NPO of forget10 (after NPO + BalDRO-DV of forget05 (lr 0.001)))"
    )
