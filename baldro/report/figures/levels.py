"""A field of few levels, such as the variant: what each level gives, method by method, beside published numbers where there are any."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from baldro.analysis.frame import is_method
from baldro.analysis.labels import field_label, method_label, metric, objective_rank, plain, variant_label, variant_rank
from baldro.analysis.rows import Cell, cell_of
from baldro.analysis.selection import points, select
from baldro.report.figures.canvas import FLOOR, Absent, Sketch, clip_p, legend_below, metric_label, p_axis, panels
from baldro.report.style import POINTS, look, metric_number
from baldro.report.words import describe, paragraph
from baldro.runs import HYPERPARAMETERS

Published = Mapping[tuple[str, str, str, str], float]
"""(split, objective, variant, metric) -> number."""
APART = 0.22
"""Between the marks of a method, of which one has the width 1."""


def draw_levels(
    frame: pd.DataFrame, rule: Mapping[str, Any], field: str, names: Sequence[str], published: Published | None = None
) -> Sketch:
    """A row of panels a split, a column a metric; along it the methods, each with a mark a level.

    Args:
        frame: one benchmark and model.
        field: variant, or a field of runs that some of them have.
        names: metrics to draw, those that the results have.
        published: of a field that is the variant.
    """
    rows = _drawn(frame, rule, field)
    names = [name for name in names if name in rows and rows[name].notna().any()]
    if not names:
        raise Absent(f"no {field_label(field)} to compare, since no run has a result in a metric of the figure")
    splits, levels = list(dict.fromkeys(rows["split"])), _levels(rows, field)
    groups = _groups(rows, field)
    figure, axes = panels(len(splits), len(names), width=max(3.1, 1.2 * len(groups)), sharex=True)
    for split, line in zip(splits, axes, strict=True):
        for name, panel in zip(names, line, strict=True):
            own = rows[(rows["split"] == split) & rows[name].notna()]
            theirs = {key[1:3]: value for key, value in (published or {}).items() if (key[0], key[3]) == (split, name)}
            _panel(panel, own, name, field, groups, levels, theirs)
            panel.set_title(split)
            panel.set_ylabel(metric_label(name))
    for panel in axes[-1]:
        panel.set_xticks(range(len(groups)), labels=[_group_label(group) for group in groups])
    drawn = any(key[0] in splits and key[3] in names for key in published or {})
    legend_below(figure, [*_handles(levels, field), *[_diamond(label="published")] * drawn])
    p_values = [name for name in names if metric(name).p_value]
    words = {
        "what": f"a method and {field_label(field)}",
        "rule": describe(rule, frame),
        "chosen": rule["rule"] == "best",
    }
    words |= {"p_value": bool(p_values), "floor": FLOOR if (rows[p_values] < FLOOR).any(axis=None) else None}
    caption = paragraph("paper", "levels", **words, published=drawn)
    return Sketch(figure=figure, title=f"By {field_label(field)}", caption=caption, alt=_alt(rows, names, field))


def _drawn(frame: pd.DataFrame, rule: Mapping[str, Any], field: str) -> pd.DataFrame:
    """The unlearning runs that the rule keeps, of the best point for each level."""
    if field not in frame or frame[is_method(frame)][field].dropna().nunique() < 2:
        raise Absent(f"no {field_label(field)} to compare, since fewer than two values of {field} were run")
    kept = select(frame, rule, per=(field,) if field in HYPERPARAMETERS else ())
    rows = kept.frame[is_method(kept.frame) & (kept.frame["status"] == "ok") & kept.frame[field].notna()]
    if rows.empty:
        reasons = "; ".join(dict.fromkeys(r["reason"] for r in kept.rejected))
        raise Absent(f"no {field_label(field)} to compare ({reasons or 'no such run has a result'})")
    return rows


def _levels(rows: pd.DataFrame, field: str) -> list[Any]:
    found = set(rows[field])
    return sorted(found, key=variant_rank) if field.endswith("variant") else sorted(found)


def _groups(rows: pd.DataFrame, field: str) -> list[tuple[str, str]]:
    """(objective, variant) of the methods along the axis; of the field variant the objectives alone."""
    found = {(one["objective"], "base" if field == "variant" else one["variant"]) for one in rows.to_dict("records")}
    return sorted(found, key=lambda one: (objective_rank(one[0]), variant_rank(one[1])))


def _group_label(group: tuple[str, str]) -> str:
    return method_label(*group).replace(" + ", "\n+ ")


def _panel(
    panel: Axes,
    rows: pd.DataFrame,
    name: str,
    field: str,
    groups: list[tuple[str, str]],
    levels: list[Any],
    published: Mapping[tuple[str, str], float],
) -> None:
    shown = clip_p if metric(name).p_value else np.asarray
    if metric(name).p_value:
        p_axis(panel, np.array([*rows[name], *published.values()], dtype=float))
    objectives = [group[0] for group in groups]
    others = [one for one in HYPERPARAMETERS if one in rows and one not in ("seed", field)]
    for at, (objective, variant) in enumerate(groups):
        looks = look(objective, objectives)
        for place, level in enumerate(levels):
            x = at + APART * (place - (len(levels) - 1) / 2)
            own = rows[(rows["objective"] == objective) & (rows[field] == level)]
            own = own if field == "variant" else own[own["variant"] == variant]
            for _, point in own.groupby(points(own, others), sort=False):
                cell = cell_of(point, name)
                marker = {"marker": POINTS[place], "ms": 7, "mec": looks.edge, "mew": 0.8, "ls": ""}
                panel.plot(x, shown(cell.mean), color=looks.colour, zorder=4, **marker)
                _bar(panel, x, cell, shown, looks.colour)
            theirs = published.get((objective, level)) if field == "variant" else None
            if theirs is not None:
                panel.add_line(_diamond(x=x, y=float(shown(theirs))))
    panel.set_xlim(-0.6, len(groups) - 0.4)


def _bar(panel: Axes, x: float, cell: Cell, shown: Any, colour: str) -> None:
    if cell.low is None or cell.high is None:
        return
    panel.vlines(x, shown(cell.low), shown(cell.high), colors=colour, lw=1, alpha=0.7, zorder=3)


def _diamond(*, x: float | None = None, y: float | None = None, label: str = "_") -> Line2D:
    """A published number."""
    data = ([], []) if x is None else ([x], [y])
    return Line2D(*data, marker="D", ms=9, mfc="none", mec="black", mew=1.1, ls="", label=label, zorder=5)


def _handles(levels: list[Any], field: str) -> list[Line2D]:
    grey = {"color": "#777777", "ls": "", "ms": 7}
    return [
        Line2D([], [], marker=POINTS[at], label=_level_label(level, field), **grey) for at, level in enumerate(levels)
    ]


def _level_label(level: Any, field: str) -> str:
    name = (variant_label(level) or str(level)) if field.endswith("variant") else plain(level)
    return name if field == "variant" else f"{field_label(field)} {name}"


def _alt(rows: pd.DataFrame, names: Sequence[str], field: str) -> str:
    keys = list(dict.fromkeys(["split", "objective", "variant", field]))
    means = rows.groupby(keys, sort=False)[list(names)].mean().reset_index().to_dict("records")
    parts = [
        f"{' '.join(str(row[key]) for key in keys)}: "
        + ", ".join(f"{metric(name).short} {metric_number(row[name], name)}" for name in names)
        for row in means
    ]
    return f"Marks of each method by {field_label(field)}. {'; '.join(parts)}."
