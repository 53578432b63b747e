"""Sensitivity to a variant's strength: what it gives at each temperature, radius or share, beside the base objective."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from baldro.analysis.frame import is_method, values_of
from baldro.analysis.labels import (
    hyperparameter_label,
    metric,
    objective_label,
    objective_rank,
    plain,
    variant_label,
    variant_rank,
)
from baldro.analysis.selection import select, varying
from baldro.metrics import shown
from baldro.metrics.metric import STRENGTH
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
)
from baldro.report.style import Look, listed, look
from baldro.report.words import describe, paragraph
from baldro.stats import mean_interval

DASHES = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (4, 1, 1, 1)))


@dataclass(frozen=True, kw_only=True)
class Strength:
    """A number that says how far a robust variant goes."""

    title: str
    axis: str
    log: bool = True
    """Scale of the axis; a share has a linear one."""
    file: str
    """What the figure's file ends in."""


STRENGTHS = {
    "dv_beta": Strength(title="Sensitivity to beta", axis="temperature beta_dv", file="beta"),
    "dv_rho": Strength(title="Sensitivity to rho", axis="radius rho of the learned beta", file="dv-rho"),
    "chi2_rho": Strength(title="Sensitivity to the chi-square radius", axis="radius rho", file="chi2-rho"),
    "cvar_alpha": Strength(title="Sensitivity to CVaR's level", axis="share alpha", log=False, file="cvar-alpha"),
    "topk_fraction": Strength(title="Sensitivity to the top-k share", axis="share", log=False, file="topk-fraction"),
    "topk_temperature": Strength(
        title="Sensitivity to the top-k temperature", axis="temperature", file="topk-temperature"
    ),
    "g_fraction": Strength(title="Sensitivity to the kept share", axis="kept share", log=False, file="g-fraction"),
}
"""Fields of which a sweep is drawn."""


def swept(frame: pd.DataFrame, field: str) -> pd.DataFrame:
    """The rows of those (split, objective) that were run at two values of a field or more; one value shows no sensitivity."""
    if field not in frame.columns:
        return frame.assign(**{field: np.nan}).head(0)
    values = frame.groupby(["split", "objective"])[field].transform("nunique")
    return frame[values >= 2]


def draw_strength(frame: pd.DataFrame, rule: Mapping[str, Any], field: str = "dv_beta") -> Sketch:
    """A row per metric, a column per split, a line per objective. frame: one benchmark and model; field: of STRENGTHS."""
    strength, every = STRENGTHS[field], sorted(set(frame["objective"]), key=objective_rank)
    methods, names = _drawn(frame, rule, field)
    robust = methods[methods[field].notna()]
    objectives = sorted(set(robust["objective"]), key=objective_rank)
    splits = list(dict.fromkeys(robust["split"]))
    alone = len(splits) == 1  # then the metrics stand side by side
    shape = (1, len(names)) if alone else (len(names), len(splits))
    figure, axes = panels(*shape, height=2.1 + 0.4 * alone, sharex=True, sharey="none" if alone else "row")
    grid = axes.T if alone else axes
    lines: list[str] = []
    for name, row in zip(names, grid, strict=True):
        for split, panel in zip(splits, row, strict=True):
            if metric(name).p_value:
                p_axis(panel, methods[name].dropna().to_numpy(dtype=float))
            lines = _panel(panel, methods[methods["split"] == split], name, field, objectives, every)
        row[0].set_ylabel(metric_label(name))
    for split, panel in zip(splits, grid[0], strict=True):
        panel.set_title(split)
    for panel in axes[-1]:
        _axis(panel, sorted(swept(frame, field)[field].dropna().unique()), strength)
    base = Line2D([], [], color="#777777", ls=(0, (5, 2)), label="base")
    legend_below(figure, [*objective_handles(objectives, others=every), base])
    tiny = any(metric(name).p_value and (methods[name] < FLOOR).any() for name in names)
    words = {"variant": _variant(robust), "rule": describe(rule, swept(frame, field)), "chosen": rule["rule"] == "best"}
    words |= {"lines": list(dict.fromkeys(lines)), "floor": FLOOR if tiny else None}
    caption = paragraph("figures", "strength", **words)
    return Sketch(figure=figure, title=strength.title, caption=caption, alt=_alt(robust, names, field))


def _drawn(frame: pd.DataFrame, rule: Mapping[str, Any], field: str) -> tuple[pd.DataFrame, list[str]]:
    """The runs that are drawn, base among them, and the metrics that they have."""
    what = STRENGTHS[field].title.removeprefix("Sensitivity to ")
    references, frame = frame[~is_method(frame)], swept(frame, field)
    if frame[field].nunique() < 2 or not any(frame[name].notna().any() for name in shown(STRENGTH, frame.columns)):
        raise Absent(f"no sensitivity to {what}, since fewer than two values of {field} were run")
    # The rule may hold a run against Original or Retain, which have no value of the field.
    selected = select(pd.concat([references, frame]), rule, per=(field,))
    methods = selected.frame[(selected.frame["status"] == "ok") & is_method(selected.frame)]
    methods = methods[methods[field].notna() | (methods["variant"] == "base")]
    robust = methods[methods[field].notna()]
    names = [name for name in shown(STRENGTH, robust.columns) if robust[name].notna().any()]
    if not names:
        reasons = dict.fromkeys(r["reason"] for r in selected.rejected if not pd.isna(r[field]))
        raise Absent(f"no sensitivity to {what} ({'; '.join(reasons) or 'no such run has a result'})")
    return methods, names


def _variant(robust: pd.DataFrame) -> str:
    return listed([variant_label(name) for name in sorted(set(robust["variant"]), key=variant_rank)])


def _panel(
    panel: Axes, rows: pd.DataFrame, name: str, field: str, objectives: list[str], every: list[str]
) -> list[str]:
    """Draw one panel; returns what tells the lines of one objective apart, if anything does."""
    other: list[str] = []
    for i, objective in enumerate(objectives):
        own = rows[(rows["objective"] == objective) & rows[name].notna()]
        robust, base = own[own[field].notna()], own[own["variant"] == "base"]
        fields = [one for one in varying(own) if one != field] if len(own) else []
        labels, looks = _labels(robust, fields), look(objective, every)
        for j, label in enumerate(sorted(set(labels))):
            place = i - (len(objectives) - 1) / 2
            _line(panel, robust[labels == label], name, field, place, looks, DASHES[j % len(DASHES)])
            other.append(f"{objective_label(objective)}: {label}" if label else "")
        for j, label in enumerate(sorted(set(_labels(base, fields)))):
            mean = base[_labels(base, fields) == label][name].mean()
            shown = clip_p(np.array(mean)) if metric(name).p_value else mean
            panel.axhline(shown, color=looks.colour, ls=(0, (5, 2)), lw=1.1, alpha=0.8, zorder=2 - j / 10)
    return [text for text in other if text]


def _labels(rows: pd.DataFrame, fields: list[str]) -> np.ndarray:
    texts = [hyperparameter_label(values_of(row, fields)) for row in rows.to_dict("records")]
    return np.array(texts, dtype=object)


def _line(panel: Axes, rows: pd.DataFrame, name: str, field: str, place: float, looks: Look, dash: Any) -> None:
    settings = sorted(rows[field].unique())
    values = [rows.loc[rows[field] == setting, name].to_numpy(dtype=float) for setting in settings]
    means = np.array([own.mean() for own in values])
    if metric(name).p_value:
        means, ends = clip_p(means), clip_p(np.array([[own.min(), own.max()] for own in values]).T)
    else:
        intervals = [mean_interval(own) for own in values]
        ends = np.array([[i.mean, i.mean] if i.low is None else [i.low, i.high] for i in intervals]).T
    # Lines stand a little beside each other, so that their error bars can be told apart.
    x = np.array(settings, dtype=float)
    x = x * 1.035**place if STRENGTHS[field].log else x + 0.012 * np.ptp(x) * place
    panel.plot(x, means, color=looks.colour, marker=looks.marker, ms=5, mec=looks.edge, mew=0.6, ls=dash, zorder=4)
    bars = {"ecolor": looks.colour, "elinewidth": 1, "capsize": 2.5, "alpha": 0.7, "zorder": 3}
    panel.errorbar(x, means, yerr=abs(ends - means), fmt="none", **bars)


def _axis(panel: Axes, settings: list[float], strength: Strength) -> None:
    if strength.log:
        panel.set_xscale("log")
        panel.set_xlim(settings[0] / 1.35, settings[-1] * 1.35)
    else:
        margin = 0.12 * (settings[-1] - settings[0])
        panel.set_xlim(settings[0] - margin, settings[-1] + margin)
    panel.set_xticks(settings, labels=[plain(setting) for setting in settings])
    panel.minorticks_off()
    panel.set_xlabel(strength.axis + (" (log scale)" if strength.log else ""))


def _alt(robust: pd.DataFrame, names: list[str], field: str) -> str:
    means = robust.groupby(["split", "objective", field], sort=False)[names].mean().reset_index()
    parts = [
        f"{row['split']} {row['objective']} at {plain(row[field])}: "
        + ", ".join(f"{metric(name).short} {row[name]:.3g}" for name in names)
        for row in means.to_dict("records")
    ]
    return f"Lines over the {STRENGTHS[field].axis} of {_variant(robust)}. " + "; ".join(parts) + "."
