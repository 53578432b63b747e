"""Forget quality against model utility: every seed a small point, every mean a large one."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

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
from baldro.report.frame import hyperparameter_names, is_method
from baldro.report.selection import describe, point, select
from baldro.report.style import (
    COLOURS,
    MARKERS,
    REFERENCES,
    look,
    number,
    objective_label,
    objective_rank,
    variant_marker,
    variant_rank,
)

X, Y = "model_utility", "forget_quality"
MANY = 8
"""With more objectives than that the panels are larger."""
SIZES = {"base": 11.5, "baldro-g": 8.5, "baldro-dv": 7.5}
"""Marker sizes: where means coincide, each variant still shows behind the next."""


def draw_tradeoff(frame: pd.DataFrame, rule: Mapping[str, Any]) -> Sketch:
    """A panel per split; colour is the objective, the marker the variant. frame: one benchmark and model."""
    if not {X, Y} <= set(frame.columns) or frame[[X, Y]].dropna().empty:
        raise Absent("no forget quality and model utility to draw against each other")
    selected = select(frame, rule)
    rows = selected.frame[selected.frame[X].notna() & selected.frame[Y].notna()]
    if rows.empty:  # Original and Retain, which a rule keeps, have no result
        why = "; ".join(dict.fromkeys(r["reason"] for r in selected.rejected)) or "no run that the rule chose has both"
        raise Absent(f"no forget quality against model utility ({why})")
    rows = rows.assign(shown_p=clip_p(rows[Y].to_numpy(dtype=float)))
    splits = list(dict.fromkeys(rows["split"]))
    methods = rows[is_method(rows)]
    objectives = sorted(set(methods["objective"]), key=objective_rank)
    variants = sorted(set(methods["variant"]), key=variant_rank)
    many = len(objectives) > MANY
    width = 3.1 if not many else 5.6 if len(splits) == 1 else 3.6
    figure, axes = panels(1, len(splits), width=width, height=3.6 if many else 2.9, sharey=True)
    for split, panel in zip(splits, axes[0], strict=True):
        low = p_axis(panel, methods[Y].to_numpy(dtype=float))
        _panel(panel, rows[rows["split"] == split], objectives, variants, low)
        panel.set_title(split)
        panel.set_xlabel(metric_label(X))
    axes[0, 0].set_ylabel(metric_label(Y))
    handles = [*objective_handles(objectives, marker="o", line=""), *variant_handles(variants)]
    if methods["seed"].nunique() > 1:
        handles.append(Line2D([], [], color="#777777", ls="", marker=".", ms=5, alpha=0.6, label="one seed"))
    legend_below(figure, handles)
    floor = f" p-values below {FLOOR:g} are drawn there." if (methods[Y] < FLOOR).any() else ""
    if (rows.loc[~is_method(rows), Y] < low).any():
        floor += " Original lies below the axis and stands on its edge."
    return Sketch(
        figure=figure,
        title="Forget quality against model utility",
        caption="Upper right is better. Large markers are means over seeds, small points single seeds; the dotted line "
        f"is p = 0.05, below which a model is told apart from Retain. {describe(rule, frame)}{floor}",
        alt=_alt(rows),
    )


def _panel(panel: Axes, rows: pd.DataFrame, objectives: list[str], variants: list[str], low: float) -> None:
    names = hyperparameter_names(rows)
    for objective in REFERENCES:
        own = rows[rows["objective"] == objective]
        if len(own):
            _reference(panel, objective, own[X].mean(), own[Y].mean(), rows[X], low)
    methods = rows[is_method(rows)]
    keys = pd.Series([point(row, names) for row in methods.to_dict("records")], index=methods.index, dtype=object)
    for (objective, variant, _), own in methods.groupby(["objective", "variant", keys], sort=False):
        looks = look(objective, objectives)
        if len(own) > 1:
            panel.plot(own[X], own["shown_p"], marker=".", ms=5, alpha=0.45, mew=0, color=looks.colour, ls="", zorder=2)
        mean = (own[X].mean(), own["shown_p"].mean())
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


def _alt(rows: pd.DataFrame) -> str:
    means = rows.groupby(["split", "objective", "variant"], sort=False)[[X, Y]].mean().reset_index()
    parts = [
        f"{row.split} {row.objective} {row.variant}: utility {row.model_utility:.3f}, p {row.forget_quality:.2g}"
        for row in means.itertuples()
    ]
    return "Scatter of forget quality (p, logarithmic) against model utility. " + "; ".join(parts) + "."
