"""What the figures draw under a rule, read from their axes."""

import numpy as np
import pandas as pd
import pytest

from baldro.report import read_frame
from baldro.report.figures import draw_all
from baldro.report.figures.canvas import Absent, metric_label
from baldro.report.figures.strength import draw_strength
from baldro.report.figures.tradeoff import draw_tradeoff

BETAS = (1, 5, 10)


def rule(at_least: float, of: str = "original") -> dict:
    bound = {"metric": "model_utility", "at_least": at_least, "of": of}
    return {"rule": "best", "metric": "forget_quality", "subject_to": bound}


@pytest.fixture
def frame(study) -> pd.DataFrame:
    rows, results = study(objectives=("npo",), betas=BETAS, seeds=(0, 1), samples=60)
    return read_frame(runs=rows, results=results)


def curves(figure, label: str) -> dict[str, dict[float, float]]:
    """split -> {beta: drawn mean} of the one line with markers in the panels of a metric."""
    rows = [panel for panel in figure.axes if panel.get_subplotspec().is_first_col()]
    place = [panel.get_ylabel() for panel in rows].index(label)
    found = {}
    for top in (panel for panel in figure.axes if panel.get_subplotspec().is_first_row()):
        column = top.get_subplotspec().colspan.start
        panel = next(p for p in figure.axes if _place(p) == (place, column))
        (line,) = (line for line in panel.lines if line.get_marker() != "None" and line.get_linestyle() != "None")
        found[top.get_title()] = dict(zip(line.get_xdata().tolist(), line.get_ydata().tolist(), strict=True))
    return found


def _place(panel) -> tuple[int, int]:
    spec = panel.get_subplotspec()
    return spec.rowspan.start, spec.colspan.start


def means(frame: pd.DataFrame, split: str, name: str) -> dict[float, float]:
    own = frame[(frame["split"] == split) & (frame["variant"] == "baldro-dv")]
    return {beta: own.loc[own["dv_beta"] == beta, name].mean() for beta in BETAS}


@pytest.mark.parametrize("of", ["original", "retain"])
def test_a_rule_against_a_reference_draws_every_strength_that_meets_it(frame, of):
    """At each beta the one point is chosen, so the line is of all; then of those that lose less than the bound allows."""
    figure = draw_strength(frame, rule(0.5, of)).figure
    for name in ("model_utility", "forget_quality_d"):
        drawn = curves(figure, metric_label(name))
        assert set(drawn) == {"forget05", "forget10"}
        for split, points in drawn.items():
            assert points == pytest.approx(means(frame, split, name))
    utility = means(frame, "forget10", "model_utility")
    limit = np.mean(sorted(utility.values())[:2])
    there = frame[(frame["objective"] == of) & (frame["split"] == "forget10")]["model_utility"].item()
    points = curves(draw_strength(frame, rule(limit / there, of)).figure, metric_label("model_utility"))["forget10"]
    assert points == pytest.approx({beta: value for beta, value in utility.items() if value >= limit})
    assert len(points) == 2


def test_base_is_drawn_where_it_meets_the_rule(frame):
    figure = draw_strength(frame, rule(0.5)).figure
    own = (frame["objective"] == "npo") & (frame["variant"] == "base") & (frame["split"] == "forget05")
    base = frame.loc[own, "model_utility"].mean()
    panel = next(p for p in figure.axes if p.get_ylabel() == metric_label("model_utility"))
    levels = [line.get_ydata()[0] for line in panel.lines if len(set(line.get_ydata())) == 1]
    assert any(level == pytest.approx(base) for level in levels)


def test_a_split_of_which_nothing_is_left_is_no_column(frame):
    poor = (frame["split"] == "forget05") & (frame["objective"] == "npo")
    frame.loc[poor, "model_utility"] = 0.1
    figure = draw_strength(frame, rule(0.5)).figure
    assert [panel.get_title() for panel in figure.axes if panel.get_title()] == ["forget10"]
    assert all(any(len(line.get_xdata()) == len(BETAS) for line in panel.lines) for panel in figure.axes)


def test_no_sensitivity_where_no_run_meets_the_rule(frame):
    with pytest.raises(Absent, match=r"^no sensitivity to beta \(no run meets the rule\)$"):
        draw_strength(frame, rule(1.5))
    lost = frame.assign(status=frame["status"].where(frame["objective"] != "original", "missing"))
    with pytest.raises(Absent, match="no result of original"):
        draw_strength(lost, rule(0.5))


def test_no_sensitivity_where_only_base_has_results(frame):
    """Before any run of the variant has finished."""
    frame.loc[frame["variant"] == "baldro-dv", "status"] = "missing"
    with pytest.raises(Absent, match="no such run has a result"):
        draw_strength(frame, {"rule": "all"})


def test_no_tradeoff_where_the_rule_keeps_no_run(frame, tmp_path):
    """Original has no result to hold runs against, Retain none to draw."""
    lost = ~frame["objective"].eq("npo")
    frame.loc[lost, "status"], frame.loc[lost, ["model_utility", "forget_quality"]] = "missing", np.nan
    with pytest.raises(Absent, match=r"no forget quality against model utility \(no result of original"):
        draw_tradeoff(frame, rule(0.5))
    drawn, absent = draw_all(frame, {}, rule(0.5), results=tmp_path, folder=tmp_path / "figures")
    assert not drawn and sum("no result of original to hold the rule against" in text for text in absent) == 2
