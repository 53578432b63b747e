"""What the figures draw under a rule, read from their axes."""

import numpy as np
import pandas as pd
import pytest

from baldro.report.figures import draw_all
from baldro.report.figures.canvas import Absent, house_style, metric_label, panels, place_labels
from baldro.report.figures.strength import draw_strength
from baldro.report.figures.tradeoff import draw_tradeoff

from .conftest import frame_of

BETAS = (1, 5, 10)


def rule(at_least: float, of: str = "original") -> dict:
    bound = {"metric": "model_utility", "at_least": at_least, "of": of}
    return {"rule": "best", "metric": "forget_quality", "subject_to": bound}


@pytest.fixture
def frame() -> pd.DataFrame:
    return frame_of(objectives=("npo",), betas=BETAS, seeds=(0, 1), samples=60)


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


@pytest.mark.parametrize(("x", "y"), [(0.5, 0.5), (0.97, 0.5), (0.03, 0.97), (0.97, 0.03)])
def test_a_label_covers_no_marker_and_no_other_label(x, y):
    """A point in the middle or at an edge, other markers all around it, and a second label at the same point."""
    with house_style():
        figure, axes = panels(1, 1, width=4, height=4)
        panel = axes[0, 0]
        panel.set(xlim=(0, 1), ylim=(0, 1))
        panel.plot([x, x - 0.12, x + 0.12, x], [y, y, y, y + 0.1], marker="o", ms=8, ls="")
        one = {"xy": (x, y), "xytext": (0, 0), "textcoords": "offset points", "fontsize": 9}
        labels = [panel.annotate(text, **one) for text in ("Original", "Retain")]
        place_labels(figure, labels)
        boxes = [label.get_window_extent() for label in labels]
        markers = panel.transData.transform(panel.lines[0].get_xydata())
    assert not boxes[0].overlaps(boxes[1])
    assert not any(box.contains(*marker) for box in boxes for marker in markers)
    assert all(panel.bbox.contains(*corner) for box in boxes for corner in box.corners())
