"""Asynchronous forgetting: how each forget sample's loss rises over the epochs, base beside BalDRO-DV."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from baldro.analysis.evidence import read_visits
from baldro.analysis.frame import hyperparameter_names, values_of
from baldro.analysis.labels import method_label, objective_label, objective_rank
from baldro.report.figures.canvas import Absent, Sketch, legend_below, panels
from baldro.report.style import look
from baldro.report.words import paragraph
from baldro.runs import VARIANTS

OWN = (*VARIANTS["baldro-dv"].fields, *VARIANTS["baldro-dv"].also, "robust_scope", "micro_batch_size")
"""Settings in which a robust run may differ from its base."""
MOST = 6
"""Objectives in one column of the figure."""
LINES = 150
"""Most samples that are drawn as single lines; medians and bands are of all."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The two runs of one row of panels."""

    objective: str
    base: dict
    robust: dict
    base_visits: pd.DataFrame
    robust_visits: pd.DataFrame


def draw_forgetting(frame: pd.DataFrame, results: Path) -> Sketch:
    """A row per objective that has both variants: first split, seed and beta. frame: one benchmark and model."""
    objectives = sorted(set(frame["objective"]), key=objective_rank)
    pairs = [pair for name in objectives if (pair := _pair(frame[frame["objective"] == name], results))]
    if not pairs:
        raise Absent("no forgetting over time, since no objective has dynamics of base and baldro-dv")
    beside = 1 if len(pairs) <= MOST else 2  # pairs in a row
    rows = math.ceil(len(pairs) / beside)
    figure, axes = panels(rows, 2 * beside, width=3.4, height=2.2, sharex=True)
    couples = axes.reshape(-1, 2)
    for panel in couples[len(pairs) :].ravel():
        panel.set_axis_off()
    spreads = []
    for pair, (left, right) in zip(pairs, couples, strict=False):
        right.sharey(left)
        right.tick_params(labelleft=False)
        hue = look(pair.objective, objectives).colour
        ends = [_panel(panel, visits, hue) for panel, visits in ((left, pair.base_visits), (right, pair.robust_visits))]
        left.set_title(objective_label(pair.objective))
        right.set_title(method_label(pair.objective, "baldro-dv", {"dv_beta": pair.robust["dv_beta"]}))
        left.set_ylabel("token NLL (nats)")
        spreads.append(f"{objective_label(pair.objective)} {ends[0]:.2f} base, {ends[1]:.2f} BalDRO-DV")
    for panel in couples[max(len(pairs) - beside, 0) : len(pairs)].ravel():
        panel.set_xlabel("epoch")
        panel.tick_params(labelbottom=True)
    handles = [
        Line2D([], [], color="#777777", lw=0.7, alpha=0.7, label="one forget sample"),
        Line2D([], [], color="#444444", lw=2, label="median"),
        Patch(color="#777777", alpha=0.25, lw=0, label="10 to 90 %"),
    ]
    legend_below(figure, handles)
    return Sketch(
        figure=figure,
        title="Asynchronous forgetting",
        caption=paragraph("figures", "forgetting", runs=pairs),
        alt=_alt(spreads),
    )


def _pair(rows: pd.DataFrame, results: Path) -> Pair | None:
    """The first base and baldro-dv run, of one split and seed, that finished and kept dynamics."""
    rows = rows[rows["status"] == "ok"]
    shared = [name for name in hyperparameter_names(rows) if name not in OWN]
    robust = rows[rows["variant"] == "baldro-dv"]
    if robust.empty:  # then the frame has no dv_beta
        return None
    robust = robust.sort_values(["seed", "dv_beta"], kind="stable")
    splits = list(dict.fromkeys(rows["split"]))
    robust = robust.sort_values("split", key=lambda column: column.map(splits.index), kind="stable")
    for candidate in robust.to_dict("records"):
        for base in rows[(rows["variant"] == "base") & (rows["split"] == candidate["split"])].to_dict("records"):
            alike = base["seed"] == candidate["seed"] and values_of(base, shared) == values_of(candidate, shared)
            visits = [read_visits(results, run["id"]) for run in (base, candidate)] if alike else [None]
            if all(table is not None for table in visits):
                of_both = dict(zip(("base_visits", "robust_visits"), visits, strict=True))
                return Pair(objective=base["objective"], base=base, robust=candidate, **of_both)
    return None


def _panel(panel: Axes, visits: pd.DataFrame, hue: str) -> float:
    """Draw one run; returns the distance of its 10 % and 90 % quantiles at the last visit, in nats."""
    samples = visits["index"].unique()
    drawn = samples[np.unique(np.linspace(0, len(samples) - 1, LINES).astype(int))] if len(samples) > LINES else samples
    lines = visits[visits["index"].isin(drawn)].groupby("index")
    paths = [own[["epoch", "nll"]].to_numpy(dtype=float) for _, own in lines]
    panel.add_collection(LineCollection(paths, colors=hue, linewidths=0.5, alpha=0.22, zorder=2))
    table = visits.groupby("visit").agg(epoch=("epoch", "median"))
    low, middle, high = (visits.groupby("visit")["nll"].quantile(q) for q in (0.1, 0.5, 0.9))
    panel.fill_between(table["epoch"], low, high, color=hue, alpha=0.22, lw=0, zorder=3)
    panel.plot(table["epoch"], middle, color=hue, lw=2.2, zorder=4)
    panel.autoscale_view()
    panel.set_ylim(0, max(panel.get_ylim()[1], 1.17 * visits["nll"].max()))  # room for the label above the lines
    spread = float(high.iloc[-1] - low.iloc[-1])
    text, box = (
        f"10 to 90 % at the end: {spread:.2f} nats wide",
        {"fc": "white", "ec": "none", "alpha": 0.8, "pad": 1.5},
    )
    panel.annotate(text, (0.03, 0.95), xycoords="axes fraction", va="top", fontsize=9, bbox=box, zorder=6)
    return spread


def _alt(spreads: list[str]) -> str:
    of = "Lines of loss over epochs, base beside BalDRO-DV. Spread (10 to 90 %) at the end in nats: "
    return f"{of}{'; '.join(spreads)}."
