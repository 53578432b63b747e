"""What there is to unlearn: Original, which saw the forget samples, beside Retain, which did not."""

import math
from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from baldro.analysis.labels import REFERENCES, objective_label
from baldro.analysis.samples import Samples
from baldro.metrics import METRICS
from baldro.metrics.forget_quality import forget_quality_d
from baldro.metrics.metric import Distribution
from baldro.report.figures.canvas import Absent, Sketch, legend_below, panels
from baldro.report.style import COLOURS
from baldro.report.words import paragraph

LOOKS = {"original": {"color": COLOURS["original"], "ls": "-"}, "retain": {"color": "#0072B2", "ls": "-"}}
MOST = 2
"""Most quantities that are drawn."""


def draw_knowledge(known: dict[str, dict[str, Samples]]) -> Sketch:
    """Distribution functions of what the two models know of the forget samples: a column a split, a row a quantity."""
    sides = [own for models in known.values() for own in models.values()]
    drawn = [d for d in distributions() if sides and all(d.values in own for own in sides)][:MOST]
    if not drawn:
        raise Absent("no distributions of Original and Retain, since values per sample are not there of both")
    alone = len(known) == 1  # then side by side rather than one above the other
    shape = (1, len(drawn)) if alone else (len(drawn), len(known))
    figure, axes = panels(*shape, height=2.3, sharey=True, sharex="none" if alone else "row")
    for panel in axes[:, 0]:
        panel.set_ylabel("share of samples")
        panel.set_ylim(-0.02, 1.02)
    for (split, models), column in zip(known.items(), axes if alone else axes.T, strict=True):
        for quantity, panel in zip(drawn, column, strict=True):
            values = {model: models[model][quantity.values].to_numpy(dtype=float) for model in REFERENCES}
            (_truth_ratio if quantity.log else _share)(panel, values)
            panel.set_xlabel(quantity.axis)
        column[0].set_title(f"{split} ({len(models['original'][drawn[0].values])} samples)")
    handles = [Line2D([], [], **LOOKS[name], label=objective_label(name)) for name in REFERENCES]
    legend_below(figure, handles)
    return Sketch(
        figure=figure,
        title="What the target knows and the retain model does not",
        caption=paragraph("figures", "knowledge", drawn=drawn),
        alt=_alt(known, drawn[0]),
    )


def distributions() -> list[Distribution]:
    """What may be drawn, in the order of the figure, each with the name of its values."""
    found = {name: m.distribution for name, m in METRICS.items() if m.distribution}
    named = [replace(own, values=own.values or name) for name, own in found.items()]
    return sorted(named, key=lambda quantity: quantity.place)


def _share(panel: Axes, values: dict[str, np.ndarray]) -> None:
    for name, own in values.items():
        panel.ecdf(own, **LOOKS[name], zorder=3)
    panel.set_xlim(-0.02, 1.02)


def _truth_ratio(panel: Axes, values: dict[str, np.ndarray]) -> None:
    panel.set_xscale("log")
    for name, own in values.items():
        panel.ecdf(own, **LOOKS[name], zorder=3)
    _gap(panel, *values.values())
    low, high = panel.get_xlim()
    ticks = [step * 10.0**power for power in range(-12, 4) for step in (1, 2, 5)]
    shown = [tick for tick in ticks if low <= tick <= high]
    thinned = shown if len(shown) <= 6 else [tick for tick in shown if math.log10(tick).is_integer()]
    panel.set_xticks(thinned, [f"{tick:g}" for tick in thinned])
    panel.set_xticks([], minor=True)


def _gap(panel: Axes, original: np.ndarray, retain: np.ndarray) -> None:
    """The largest vertical distance of the two curves, which is D."""
    grid = np.unique(np.concatenate([original, retain]))
    low, high = (np.searchsorted(np.sort(own), grid, side="right") / len(own) for own in (original, retain))
    at = int(np.abs(low - high).argmax())
    panel.vlines(grid[at], *sorted((low[at], high[at])), color="#D55E00", lw=1.6, zorder=4)
    # Lower right is free: a distribution function is high there.
    label = f"D = {forget_quality_d(original, retain):.3f}"
    panel.annotate(label, (0.97, 0.06), xycoords="axes fraction", ha="right", color="#A84500", zorder=5)


def _alt(known: dict[str, dict[str, Samples]], quantity: Distribution) -> str:
    parts = []
    for split, models in known.items():
        medians = {objective_label(name): models[name][quantity.values].median() for name in REFERENCES}
        parts.append(f"{split}: " + ", ".join(f"{label} {median:.3f}" for label, median in medians.items()))
    return f"Cumulative distributions for Original and Retain. Median {quantity.axis}: {'; '.join(parts)}."
