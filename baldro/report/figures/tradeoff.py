"""What is forgotten against what is kept, by the metrics that say so: every seed a small point, every mean a large one."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from baldro.analysis.frame import hyperparameter_names, is_method
from baldro.analysis.labels import REFERENCES, metric, objective_label, objective_rank, variant_rank
from baldro.analysis.selection import point, select
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
    variant_handles,
)
from baldro.report.style import COLOURS, MARKERS, look, number, variant_marker
from baldro.report.words import describe

AXES = (TRADEOFF_X, TRADEOFF_Y)
MANY = 8
"""With more objectives than that the panels are larger."""
SIZES = {"base": 11.5, "baldro-g": 8.5, "baldro-dv": 7.5}
"""Marker sizes: where means coincide, each variant still shows behind the next."""


def draw_tradeoff(frame: pd.DataFrame, rule: Mapping[str, Any]) -> Sketch:
    """A panel per split; colour is the objective, the marker the variant. frame: one benchmark and model."""
    x, y = (next((name for name in shown(role, frame.columns) if frame[name].notna().any()), None) for role in AXES)
    if x is None or y is None or frame[[x, y]].dropna().empty:
        kept, forgotten = (metric(shown(role)[0]).label.removesuffix(" (p)") for role in AXES)
        raise Absent(f"no {forgotten} and {kept} to draw against each other")
    selected = select(frame, rule)
    rows = selected.frame[selected.frame[x].notna() & selected.frame[y].notna()]
    title = f"{metric(y).label.removesuffix(' (p)')} against {metric(x).label}"
    p_value = metric(y).p_value
    if rows.empty:  # Original and Retain, which a rule keeps, have no result
        why = "; ".join(dict.fromkeys(r["reason"] for r in selected.rejected)) or "no run that the rule chose has both"
        raise Absent(f"no {title} ({why})")
    rows = rows.assign(x=rows[x], y=rows[y], shown_y=clip_p(rows[y].to_numpy(dtype=float)) if p_value else rows[y])
    splits = list(dict.fromkeys(rows["split"]))
    methods = rows[is_method(rows)]
    objectives = sorted(set(methods["objective"]), key=objective_rank)
    variants = sorted(set(methods["variant"]), key=variant_rank)
    many = len(objectives) > MANY
    width = 3.1 if not many else 5.6 if len(splits) == 1 else 3.6
    figure, axes = panels(1, len(splits), width=width, height=3.6 if many else 2.9, sharey=True)
    for split, panel in zip(splits, axes[0], strict=True):
        low = p_axis(panel, methods["y"].to_numpy(dtype=float)) if p_value else float("-inf")
        _panel(panel, rows[rows["split"] == split], objectives, variants, low)
        panel.set_title(split)
        panel.set_xlabel(metric_label(x))
    axes[0, 0].set_ylabel(metric_label(y))
    handles = [*objective_handles(objectives, marker="o", line=""), *variant_handles(variants)]
    if methods["seed"].nunique() > 1:
        handles.append(Line2D([], [], color="#777777", ls="", marker=".", ms=5, alpha=0.6, label="one seed"))
    legend_below(figure, handles)
    floor = f" p-values below {FLOOR:g} are drawn there." if p_value and (methods["y"] < FLOOR).any() else ""
    if (rows.loc[~is_method(rows), "y"] < low).any():
        floor += " Original lies below the axis and stands on its edge."
    return Sketch(
        figure=figure,
        title=title[0].upper() + title[1:],
        caption=f"{_best_corner(x, y)}Large markers are means over seeds, small points single seeds"
        + ("; the dotted line is p = 0.05, below which a model can be distinguished from Retain" * p_value)
        + f". {describe(rule, frame)}{floor}",
        alt=_alt(rows, title, p_value),
    )


def _panel(panel: Axes, rows: pd.DataFrame, objectives: list[str], variants: list[str], low: float) -> None:
    names = hyperparameter_names(rows)
    for objective in REFERENCES:
        own = rows[rows["objective"] == objective]
        if len(own):
            _reference(panel, objective, own["x"].mean(), own["y"].mean(), rows["x"], low)
    methods = rows[is_method(rows)]
    keys = pd.Series([point(row, names) for row in methods.to_dict("records")], index=methods.index, dtype=object)
    for (objective, variant, _), own in methods.groupby(["objective", "variant", keys], sort=False):
        looks = look(objective, objectives)
        if len(own) > 1:
            panel.plot(
                own["x"], own["shown_y"], marker=".", ms=5, alpha=0.45, mew=0, color=looks.colour, ls="", zorder=2
            )
        mean = (own["x"].mean(), own["shown_y"].mean())
        size, place = SIZES.get(variant, 6), 4 + 0.1 * variant_rank(variant)[0]
        marker = variant_marker(variant, variants)
        panel.plot(*mean, marker=marker, ms=size, color=looks.colour, mec=looks.edge, mew=0.8, ls="", zorder=place)


def _reference(panel: Axes, objective: str, x: float, p: float, every: pd.Series, low: float) -> None:
    """A labelled marker; a p-value below the axis stands at its lower edge, with the number beside it."""
    own = {"marker": MARKERS[objective], "ms": 11, "color": COLOURS[objective], "mec": "white", "mew": 0.8, "ls": ""}
    panel.plot(x, max(p, low), **own, clip_on=False, zorder=5)
    left = x > (every.min() + every.max()) / 2
    label = objective_label(objective)
    panel.annotate(
        label if p >= low else f"{label} (p = {number(p, p_value=True)})",
        (x, max(p, low)),
        xytext=(-9 if left else 9, 0 if p >= low else 7),
        textcoords="offset points",
        ha="right" if left else "left",
        va="center",
        fontsize=9,
        zorder=6,
    )


def _best_corner(x: str, y: str) -> str:
    """Where the best points lie; empty where a metric has no direction."""
    if not metric(x).better or not metric(y).better:
        return ""
    across = "right" if metric(x).better == "up" else "left"
    return f"{'Upper' if metric(y).better == 'up' else 'Lower'} {across} is better. "


def _alt(rows: pd.DataFrame, title: str, p_value: bool) -> str:
    means = rows.groupby(["split", "objective", "variant"], sort=False)[["x", "y"]].mean().reset_index()
    parts = [
        f"{row.split} {row.objective} {row.variant}: {row.x:.3f}, {'p ' * p_value}{row.y:.2g}"
        for row in means.itertuples()
    ]
    return f"Scatter of {title}, x then y{' (p, logarithmic)' * p_value}. " + "; ".join(parts) + "."
