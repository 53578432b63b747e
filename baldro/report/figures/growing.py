"""What is kept as more is forgotten: over requests that are made one after the other, and over the size of a single one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from baldro.analysis.frame import hyperparameter_names, is_method
from baldro.analysis.labels import metric, objective_label, objective_rank, variant_label, variant_rank
from baldro.analysis.selection import points, select
from baldro.metrics import shown
from baldro.metrics.metric import TRADEOFF_X
from baldro.records import benchmark as records
from baldro.report.figures.canvas import (
    Absent,
    Sketch,
    legend_below,
    metric_label,
    objective_handles,
    panels,
    variant_handles,
)
from baldro.report.style import look, variant_marker
from baldro.report.words import describe, paragraph
from baldro.runs import Run
from baldro.stats import mean_interval

FEWEST = 3
"""Sizes of a request from which on there is a curve."""


def requests_made(frame: pd.DataFrame) -> pd.Series:
    """Of each row how many requests its model has been given, one after the other; missing for a row that forgets nothing itself."""
    runs = [Run.parse(name) for name in frame["id"]]
    made = [sum(each.facts.forgets for each in run.line()) if run.facts.forgets else None for run in runs]
    return pd.Series(made, index=frame.index, dtype=float)


def rows_forgotten(frame: pd.DataFrame, results: Path) -> pd.Series:
    """Of each row the training rows of its forget split; missing where the data are not there, or it is a further request."""
    place = records.place(results, frame["benchmark"].iloc[0])
    sizes = records.counts(place) if place.is_file() and len(frame) else {}
    return frame["split"].map(sizes).where(requests_made(frame) == 1).astype(float)


def growing(frame: pd.DataFrame, results: Path) -> dict[str, pd.Series]:
    """The figures that these runs are made for: file -> each row's place on the axis. frame: one benchmark and model."""
    over = {"requests": requests_made(frame), "sizes": rows_forgotten(frame, results)}
    found = {name: x for name, x in over.items() if x.nunique() >= (2 if name == "requests" else FEWEST)}
    return found


def draw_growing(frame: pd.DataFrame, x: pd.Series, rule: Mapping[str, Any], *, requests: bool) -> Sketch:
    """A line per method, from Original on. frame: one benchmark and model.

    Args:
        x: of each row, as `growing` gives it.
        requests: x counts requests; otherwise rows.
    """
    name = next((name for name in shown(TRADEOFF_X, frame.columns) if frame[name].notna().any()), None)
    if name is None:
        raise Absent("no curve of what is kept as more is forgotten, since no metric of it has a result")
    rows = _chosen(frame, x, rule, requests).assign(x=x)
    rows = rows[rows[name].notna() & rows["x"].notna()]
    if rows.empty:
        raise Absent("no curve of what is kept as more is forgotten, since no run that the rule chose has a result")
    objectives = sorted(set(rows["objective"]), key=objective_rank)
    variants = sorted(set(rows["variant"]), key=variant_rank)
    figure, axes = panels(1, 1, width=5.0, height=3.0)
    panel = axes[0, 0]
    original = frame.loc[frame["objective"] == "original", name].mean()
    for (objective, variant, _), own in _lines(rows):
        _line(panel, own, name, original, variant_marker(variant, variants), look(objective, objectives))
    panel.set_xlabel("requests made, one after the other" if requests else "training rows that are forgotten")
    panel.set_ylabel(metric_label(name))
    panel.set_xticks([0, *sorted(rows["x"].unique())])
    legend_below(figure, [*objective_handles(objectives, marker="None"), *variant_handles(variants)])
    words = {"rule": describe(rule, frame), "requests": requests, "original": not np.isnan(original)}
    words |= {"chosen": rule["rule"] == "best"}
    title = f"{metric(name).label} over {'requests' if requests else 'the size of a request'}"
    return Sketch(
        figure=figure,
        title=title[0].upper() + title[1:],
        caption=paragraph("figures", "growing", **words),
        alt=_alt(rows, name, title),
    )


def _chosen(frame: pd.DataFrame, x: pd.Series, rule: Mapping[str, Any], requests: bool) -> pd.DataFrame:
    """The rows that the rule keeps. Of chains it is asked at their last request, and what it keeps there is drawn from the first one on."""
    if not requests:
        return select(frame[~is_method(frame) | x.notna()], rule).frame.pipe(lambda rows: rows[is_method(rows)])
    methods, last = frame[x.notna()], frame[~is_method(frame) | (x == x.max())].drop(columns="parent")
    kept = select(last, rule).frame
    wanted = set(_keys(kept[is_method(kept)]))
    return methods[_keys(methods).isin(wanted)]


def _keys(rows: pd.DataFrame) -> pd.Series:
    """Each row's method and hyperparameters as one key, whichever run it starts from."""
    return points(rows, ["objective", "variant", *(name for name in hyperparameter_names(rows) if name != "parent")])


def _lines(rows: pd.DataFrame) -> Any:
    return rows.groupby(["objective", "variant", _keys(rows)], sort=False)


def _line(panel: Axes, rows: pd.DataFrame, name: str, original: float, marker: str, looks: Any) -> None:
    """Means over seeds with their 95 % intervals, behind Original at 0."""
    places = sorted(rows["x"].unique())
    intervals = [mean_interval(rows.loc[rows["x"] == place, name].to_numpy(dtype=float)) for place in places]
    means = np.array([interval.mean for interval in intervals])
    ends = np.array([[i.mean, i.mean] if i.low is None else [i.low, i.high] for i in intervals]).T
    panel.plot([0, *places], [original, *means], color=looks.colour, marker=marker, ms=6, mec=looks.edge, mew=0.6)
    panel.errorbar(places, means, yerr=abs(ends - means), fmt="none", ecolor=looks.colour, elinewidth=1, capsize=2.5)


def _alt(rows: pd.DataFrame, name: str, title: str) -> str:
    parts = []
    for (objective, variant, _), own in _lines(rows):
        label = " + ".join(filter(None, (objective_label(objective), variant_label(variant))))
        values = own.groupby("x")[name].mean()
        parts.append(f"{label}: " + ", ".join(f"{value:.3g} at {place:g}" for place, value in values.items()))
    return f"Lines of {title}. " + "; ".join(parts) + "."
