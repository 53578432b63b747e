"""What each crossed factor changes: a point with its interval for every factor, metric and method, beside the line of no change."""

from collections.abc import Sequence
from itertools import cycle

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from baldro.analysis.attribution import CHANGES, INTERACTION, MAIN, TOTAL, Attributed
from baldro.analysis.labels import level_label, metric
from baldro.report.figures.canvas import Sketch, legend_below, panels
from baldro.report.style import POINTS, difference_text, look
from baldro.report.words import paragraph

SPACE = 0.17
"""Inches between the points of two methods in one row."""


Looks = dict[str, tuple[str, str]]
"""Method -> its colour and marker."""


def draw_attribution(effects: Sequence[Attributed]) -> Sketch:
    """A column per metric, a row of panels per split; factors down, a point per method. effects: of one benchmark and model."""
    drawn = [e for e in effects if e.kind != INTERACTION]
    splits, names = (list(dict.fromkeys(getattr(e, key) for e in drawn)) for key in ("split", "metric"))
    mains = dict.fromkeys(e.label for e in drawn if e.kind == MAIN)
    labels = [*mains, *dict.fromkeys(e.label for e in drawn if e.kind == TOTAL)]
    looks = _looks(drawn)
    height = len(labels) * max(0.36, 0.14 + SPACE * len(looks)) + 0.45
    figure, axes = panels(len(splits), len(names), width=2.75, height=height, sharey=True, sharex="col")
    figure.set_figwidth(figure.get_figwidth() + 0.6)  # the factors' names
    for split, row in zip(splits, axes, strict=True):
        for name, panel in zip(names, row, strict=True):
            own = [e for e in drawn if e.split == split and e.metric == name]
            _panel(panel, own, labels, looks, ruled=len(mains))
        row[0].set_yticks(range(len(labels)), [_tick(label, drawn) for label in labels])
        row[0].set_ylim(len(labels) - 0.5, -0.5)
        if len(splits) > 1:
            beside = {"xycoords": "axes fraction", "rotation": 270, "va": "center", "ha": "left"}
            row[-1].annotate(split, (1.03, 0.5), annotation_clip=False, **beside)
    for name, panel in zip(names, axes[0], strict=True):
        panel.set_title(metric(name).label)
    for name, panel in zip(names, axes[-1], strict=True):
        better = {"up": " (right is better)", "down": " (left is better)", "": ""}[metric(name).better]
        panel.set_xlabel(f"change{better}")
    legend_below(figure, _handles(looks, drawn))
    several = any(e.difference.n > 1 for e in drawn if e.difference)
    return Sketch(
        figure=figure,
        title="What each difference changes",
        caption=paragraph("figures", "attribution", several_seeds=several, split=splits[0] if len(splits) == 1 else ""),
        alt="Points with intervals on a line of no change. " + "; ".join(_alt(e) for e in drawn) + ".",
    )


def _looks(effects: Sequence[Attributed]) -> Looks:
    """A colour an objective; the marker is the objective's too, unless it has several methods."""
    methods = dict.fromkeys((e.method, e.objective) for e in effects)
    objectives = list(dict.fromkeys(objective for _, objective in methods))
    shared, found = len(methods) > len(objectives), {}
    for (method, objective), marker in zip(methods, cycle(POINTS), strict=False):
        own = look(objective, objectives)
        found[method] = own.colour, marker if shared else own.marker
    return found


def _panel(panel: Axes, effects: list[Attributed], labels: list[str], looks: Looks, *, ruled: int) -> None:
    """ruled: place of the rule between the factors and their total."""
    panel.axvline(0, color="#555555", lw=0.9, zorder=1)
    panel.grid(axis="y", visible=False)
    for place in range(1, len(labels)):
        last = place == ruled
        panel.axhline(place - 0.5, color="#999999" if last else "#e9e9e9", lw=0.8 if last else 0.6, zorder=0.5)
    panel.tick_params(axis="y", length=0)
    panel.locator_params(axis="x", nbins=5)
    step, methods = 0.72 / max(len(looks), 1), list(looks)
    for e in effects:
        if (d := e.difference) is None:
            continue
        colour, marker = looks[e.method]
        y = labels.index(e.label) + (methods.index(e.method) - (len(methods) - 1) / 2) * step
        if d.low is not None:
            panel.plot([d.low, d.high], [y, y], color=colour, lw=1.6, solid_capstyle="round", zorder=3)
        filled = colour if e.verdict == CHANGES else "white"
        panel.plot(d.mean, y, marker=marker, ms=6, color=colour, mfc=filled, mew=1.3, ls="", zorder=4)


def _tick(label: str, effects: Sequence[Attributed]) -> str:
    """The level, and below it what it is held against."""
    first = next(e for e in effects if e.label == label)
    if first.kind == TOTAL:
        return "all of these\nat once"
    (name, _, reference), *_ = first.steps
    return f"{label}\n(against {level_label(name, reference)})"


def _handles(looks: Looks, effects: Sequence[Attributed]) -> list[Line2D]:
    own = [Line2D([], [], color=c, marker=m, ms=6, lw=1.6, label=method) for method, (c, m) in looks.items()]
    if any(e.effect.p is not None for e in effects):
        grey = {"color": "#777777", "ls": "", "marker": "o", "ms": 6, "mew": 1.3}
        own.append(Line2D([], [], **grey, label="p < 0.05 after Holm"))
        own.append(Line2D([], [], **grey, mfc="white", label="not so"))
    return own


def _alt(e: Attributed) -> str:
    return f"{e.split} {e.method}, {e.label}: {metric(e.metric).short} {difference_text(e)}"
