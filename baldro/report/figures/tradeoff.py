"""What is forgotten against what is kept, by the metrics that say so: every seed a small point, every mean a large one."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.text import Annotation

from baldro.analysis.frame import hyperparameter_names, is_method
from baldro.analysis.labels import REFERENCES, metric, objective_label, objective_rank, variant_rank
from baldro.analysis.selection import points, select
from baldro.metrics import shown
from baldro.metrics.metric import TRADEOFF_X, TRADEOFF_Y
from baldro.report.figures.canvas import (
    FLOOR,
    Absent,
    Sketch,
    clip_p,
    legend_below,
    metric_label,
    objective_handles,
    p_axis,
    panels,
    place_labels,
    variant_handles,
)
from baldro.report.style import COLOURS, MARKERS, look, number, variant_marker
from baldro.report.words import describe, paragraph

AXES = (TRADEOFF_X, TRADEOFF_Y)
MANY = 8
"""With more objectives than that the panels are larger."""
SIZES = {"base": 11.5, "baldro-g": 8.5, "baldro-dv": 7.5}
"""Marker sizes: where means coincide, each variant still shows behind the next."""


def draw_tradeoff(frame: pd.DataFrame, rule: Mapping[str, Any]) -> Sketch:
    """A panel per split; colour is the objective, the marker the variant. frame: one benchmark and model."""
    rows, x, y = _drawn(frame, rule)
    title, p_value = _title(x, y), metric(y).p_value
    splits = list(dict.fromkeys(rows["split"]))
    methods = rows[is_method(rows)]
    objectives = sorted(set(methods["objective"]), key=objective_rank)
    variants = sorted(set(methods["variant"]), key=variant_rank)
    many = len(objectives) > MANY
    width = 3.1 if not many else 5.6 if len(splits) == 1 else 3.6
    figure, axes = panels(1, len(splits), width=width, height=3.6 if many else 2.9, sharey=True)
    labels: list[Annotation] = []
    for split, panel in zip(splits, axes[0], strict=True):
        low = p_axis(panel, methods["y"].to_numpy(dtype=float)) if p_value else float("-inf")
        labels += _panel(panel, rows[rows["split"] == split], objectives, variants, low)
        panel.set_title(split)
        panel.set_xlabel(metric_label(x))
    axes[0, 0].set_ylabel(metric_label(y))
    handles = [*objective_handles(objectives, marker="o", line=""), *variant_handles(variants)]
    if methods["seed"].nunique() > 1:
        handles.append(Line2D([], [], color="#777777", ls="", marker=".", ms=5, alpha=0.6, label="one seed"))
    legend_below(figure, handles)
    place_labels(figure, labels)
    words = {"x": x, "y": y, "rule": describe(rule, frame)}
    words |= {"floor": FLOOR if p_value and (methods["y"] < FLOOR).any() else None}
    words |= {"off_axis": bool((rows.loc[~is_method(rows), "y"] < low).any())}
    return Sketch(
        figure=figure,
        title=title[0].upper() + title[1:],
        caption=paragraph("figures", "tradeoff", **words),
        alt=_alt(rows, title, p_value),
    )


def _drawn(frame: pd.DataFrame, rule: Mapping[str, Any]) -> tuple[pd.DataFrame, str, str]:
    """The runs that are drawn, with their values as x, y and shown_y (p-values as the axis has them); and the two metrics."""
    x, y = (next((name for name in shown(role, frame.columns) if frame[name].notna().any()), None) for role in AXES)
    if x is None or y is None or frame[[x, y]].dropna().empty:
        kept, forgotten = (metric(shown(role)[0]).label.removesuffix(" (p)") for role in AXES)
        raise Absent(f"no {forgotten} and {kept} to draw against each other")
    selected = select(frame, rule)
    rows = selected.frame[selected.frame[x].notna() & selected.frame[y].notna()]
    if rows.empty:  # Original and Retain, which a rule keeps, have no result
        why = "; ".join(dict.fromkeys(r["reason"] for r in selected.rejected)) or "no run that the rule chose has both"
        raise Absent(f"no {_title(x, y)} ({why})")
    shown_y = clip_p(rows[y].to_numpy(dtype=float)) if metric(y).p_value else rows[y]
    return rows.assign(x=rows[x], y=rows[y], shown_y=shown_y), x, y


def _title(x: str, y: str) -> str:
    return f"{metric(y).label.removesuffix(' (p)')} against {metric(x).label}"


def _panel(panel: Axes, rows: pd.DataFrame, objectives: list[str], variants: list[str], low: float) -> list[Annotation]:
    """Draw one panel; returns the labels of Original and Retain, which have no place yet."""
    names = hyperparameter_names(rows)
    references = [(name, own) for name in REFERENCES if len(own := rows[rows["objective"] == name])]
    labels = [_reference(panel, name, own["x"].mean(), own["y"].mean(), low) for name, own in references]
    methods = rows[is_method(rows)]
    for (objective, variant, _), own in methods.groupby(["objective", "variant", points(methods, names)], sort=False):
        looks = look(objective, objectives)
        if len(own) > 1:
            small = {"marker": ".", "ms": 5, "alpha": 0.45, "mew": 0, "ls": "", "zorder": 2}
            panel.plot(own["x"], own["shown_y"], color=looks.colour, **small)
        mean = (own["x"].mean(), own["shown_y"].mean())
        size, place = SIZES.get(variant, 6), 4 + 0.1 * variant_rank(variant)[0]
        marker = variant_marker(variant, variants)
        panel.plot(*mean, marker=marker, ms=size, color=looks.colour, mec=looks.edge, mew=0.8, ls="", zorder=place)
    return labels


def _reference(panel: Axes, objective: str, x: float, p: float, low: float) -> Annotation:
    """A marker and its label; a p-value below the axis stands at its lower edge, with the number beside it."""
    own = {"marker": MARKERS[objective], "ms": 11, "color": COLOURS[objective], "mec": "white", "mew": 0.8, "ls": ""}
    panel.plot(x, max(p, low), **own, clip_on=False, zorder=5)
    label = objective_label(objective) + ("" if p >= low else f" (p = {number(p, p_value=True)})")
    return panel.annotate(label, (x, max(p, low)), xytext=(0, 0), textcoords="offset points", fontsize=9, zorder=6)


def _alt(rows: pd.DataFrame, title: str, p_value: bool) -> str:
    means = rows.groupby(["split", "objective", "variant"], sort=False)[["x", "y"]].mean().reset_index()
    parts = [
        f"{row.split} {row.objective} {row.variant}: {row.x:.3f}, {'p ' * p_value}{row.y:.2g}"
        for row in means.itertuples()
    ]
    return f"Scatter of {title}, x then y{' (p, logarithmic)' * p_value}. " + "; ".join(parts) + "."
