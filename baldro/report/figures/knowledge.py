"""What there is to unlearn: Original, which saw the forget samples, beside Retain, which did not."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from baldro.metrics.forget_quality import forget_quality_d
from baldro.report.evidence import Known
from baldro.report.figures.canvas import Absent, Sketch, legend_below, panels
from baldro.report.style import COLOURS, REFERENCES, objective_label

LOOKS = {"original": {"color": COLOURS["original"], "ls": "-"}, "retain": {"color": "#0072B2", "ls": "-"}}


def draw_knowledge(known: dict[str, dict[str, Known]]) -> Sketch:
    """Distribution functions of the answer probability and (where there is one) of the truth ratio, for each split."""
    if not known:
        raise Absent("no distributions of Original and Retain, since their samples.parquet are not both there")
    ratios = all(model.truth_ratio is not None for models in known.values() for model in models.values())
    alone = len(known) == 1  # then side by side rather than one above the other
    shape = (1, 1 + ratios) if alone else (1 + ratios, len(known))
    figure, axes = panels(*shape, height=2.3, sharey=True, sharex="none" if alone else "row")
    for panel in axes[:, 0]:
        panel.set_ylabel("share of samples")
        panel.set_ylim(-0.02, 1.02)
    for (split, models), column in zip(known.items(), axes if alone else axes.T, strict=True):
        _probability(column[0], {name: models[name].probability for name in REFERENCES})
        column[0].set_title(f"{split} ({len(models['original'].probability)} samples)")
        if ratios:
            _truth_ratio(column[1], {name: models[name].truth_ratio for name in REFERENCES})
    handles = [Line2D([], [], **LOOKS[name], label=objective_label(name)) for name in REFERENCES]
    legend_below(figure, handles)
    return Sketch(
        figure=figure,
        title="What the target knows and the retain model does not",
        caption=_caption(ratios),
        alt=_alt(known),
    )


def _probability(panel: Axes, values: dict[str, np.ndarray]) -> None:
    for name, own in values.items():
        panel.ecdf(own, **LOOKS[name], zorder=3)
    panel.set_xlim(-0.02, 1.02)
    panel.set_xlabel("probability of the true answer")


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
    panel.set_xlabel("truth ratio (log scale)")


def _gap(panel: Axes, original: np.ndarray, retain: np.ndarray) -> None:
    """The largest vertical distance of the two curves, which is D."""
    grid = np.unique(np.concatenate([original, retain]))
    low, high = (np.searchsorted(np.sort(own), grid, side="right") / len(own) for own in (original, retain))
    at = int(np.abs(low - high).argmax())
    panel.vlines(grid[at], *sorted((low[at], high[at])), color="#D55E00", lw=1.6, zorder=4)
    # Lower right is free: a distribution function is high there.
    label = f"D = {forget_quality_d(original, retain):.3f}"
    panel.annotate(label, (0.97, 0.06), xycoords="axes fraction", ha="right", color="#A84500", zorder=5)


def _caption(ratios: bool) -> str:
    text = "Empirical distributions over the forget samples. First: length-normalised probability of the true answer, "
    text += (
        "exp of minus the mean token loss; a target that memorised stands at the right, the retain model at the left."
    )
    if ratios:
        text += (
            " Second: truth ratio, wrong answers' likelihood over the paraphrased right one's; D, the largest vertical "
        )
        text += "distance, is the statistic behind forget quality. Curves that coincide leave nothing to unlearn."
    return text if ratios else text.replace("First: length", "Length")


def _alt(known: dict[str, dict[str, Known]]) -> str:
    parts = []
    for split, models in known.items():
        medians = ", ".join(f"{objective_label(name)} {np.median(models[name].probability):.3f}" for name in REFERENCES)
        parts.append(f"{split}: {medians}")
    return (
        "Cumulative distributions for Original and Retain. Median probability of the true answer: "
        + "; ".join(parts)
        + "."
    )
