"""What all figures share: the house style, panels, legends beside the data, and files without dates in them."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation
from matplotlib.ticker import LogLocator
from matplotlib.transforms import Bbox

from baldro.analysis.labels import metric, objective_label, variant_label
from baldro.report.style import look, variant_marker

INK = "#333333"
GAPS = (9, 14, 20, 28, 40)
"""Points between a marker's middle and its label, to be tried in this order on each of SIDES."""
SIDES = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))
"""Right, left, above, below; above and below, from the marker's own edge on to the right or to the left."""
EDGE = 6
"""Points from a marker's middle to its edge."""
FLOOR = 1e-20
"""Smaller p-values are drawn here, at the lower edge of a logarithmic axis."""
STYLE = {
    "font.size": 9,
    "font.family": "DejaVu Sans",
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.labelsize": 9.5,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#666666",
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e9e9e9",
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": "#666666",
    "ytick.color": "#666666",
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.6,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "pdf.fonttype": 42,
}


class Absent(Exception):
    """A figure that these results do not allow; its text is the reason."""


@dataclass(frozen=True, kw_only=True)
class Sketch:
    """A figure that is not yet written, with its words."""

    figure: Figure
    title: str
    caption: str
    """What is drawn, of which runs, with which intervals and clippings."""
    alt: str
    """The figure for those who cannot see it."""


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A figure that was written: its words, and its file for the page (beside it the PDF)."""

    title: str
    caption: str
    alt: str
    png: Path


@contextmanager
def house_style() -> Iterator[None]:
    """Draw in the house style, whatever the user's matplotlibrc says."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def panels(
    rows: int, columns: int, *, width: float = 3.1, height: float = 2.5, **share: object
) -> tuple[Figure, np.ndarray]:
    """A figure and its (rows, columns) axes; `width` and `height` of one panel in inches."""
    figure = Figure(figsize=(0.5 + width * columns, 0.5 + height * rows), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **share)


def save(sketch: Sketch, stem: Path, where: str) -> Drawn:
    """Write `stem`.png (200 dpi) and `stem`.pdf, without dates or program names; `where` goes before the title."""
    png, pdf = (stem.with_name(f"{stem.name}.{kind}") for kind in ("png", "pdf"))
    sketch.figure.savefig(png, dpi=200, metadata={"Software": None})
    sketch.figure.set_layout_engine("none")  # the panels are placed; once is enough
    sketch.figure.savefig(pdf, metadata=dict.fromkeys(("CreationDate", "Producer", "Creator")))
    return Drawn(title=f"{sketch.title} ({where})", caption=sketch.caption, alt=sketch.alt, png=png)


def legend_below(figure: Figure, handles: Sequence[Artist]) -> None:
    """A legend under the panels, never on the data, in rows of even length; none where there is nothing to explain.

    Where it has more than two rows, the figure grows by the others, so that the panels keep their size.
    """
    if not handles:
        return
    lengths = [len(str(handle.get_label())) for handle in handles]
    width = 0.55 + 0.07 * (max(lengths) + sum(lengths) / len(lengths)) / 2  # of a column, as wide as its own labels
    most = max(2, int(figure.get_figwidth() / max(1.2, width)))
    rows = math.ceil(len(handles) / most)
    columns = math.ceil(len(handles) / rows)
    figure.set_figheight(figure.get_figheight() + 0.2 * max(rows - 2, 0))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, handletextpad=0.5, columnspacing=1.6)


def objective_handles(
    objectives: list[str], *, marker: str | None = None, line: str = "-", others: Sequence[str] = ()
) -> list[Line2D]:
    """One legend entry per objective, in its colour and with its edge; `marker` None is the objective's own.

    others: all objectives among which these are told apart, by default themselves.
    """
    handles = []
    for name in objectives:
        own = look(name, others or objectives)
        drawn = {"color": own.colour, "mec": own.edge, "mew": 0.8, "marker": marker or own.marker, "ms": 7, "ls": line}
        handles.append(Line2D([], [], label=objective_label(name), **drawn))
    return handles


def variant_handles(variants: list[str]) -> list[Line2D]:
    """One legend entry per variant, its marker in grey."""
    grey = {"color": "#777777", "ls": "", "ms": 7}
    markers = {name: variant_marker(name, variants) for name in variants}
    return [Line2D([], [], marker=own, label=variant_label(name) or name, **grey) for name, own in markers.items()]


def place_labels(figure: Figure, labels: Sequence[Annotation]) -> None:
    """Put each label beside its point where it covers no marker and no other label, as near as there is room in its panel.

    To be called last, when the legend has its room.
    """
    for label in labels:
        label.set_in_layout(False)
    figure.draw_without_rendering()  # only now the panels have their places
    for at, label in enumerate(labels):
        panel = label.axes
        taken = [*_marker_boxes(panel), *(other.get_window_extent() for other in labels[:at] if other.axes is panel)]
        for gap, (across, up) in product(GAPS, SIDES):
            label.set(
                position=(across * (-EDGE if up else gap), up * gap),
                ha={-1: "right", 0: "center", 1: "left"}[across],
                va={-1: "top", 0: "center", 1: "bottom"}[up],
            )
            box = label.get_window_extent()
            within = (
                panel.bbox.x0 <= box.x0
                and box.x1 <= panel.bbox.x1
                and panel.bbox.y0 <= box.y0
                and box.y1 <= panel.bbox.y1
            )
            if within and not any(box.overlaps(other) for other in taken):
                break


def _marker_boxes(panel: Axes) -> list[Bbox]:
    """In pixels, of every marker of a panel."""
    boxes = []
    for line in panel.lines:
        if line.get_marker() in ("None", None, ""):
            continue
        half = line.get_markersize() / 2 * panel.figure.dpi / 72
        for x, y in panel.transData.transform(line.get_xydata()):
            boxes.append(Bbox([[x - half, y - half], [x + half, y + half]]))
    return boxes


def clip_p(values: np.ndarray) -> np.ndarray:
    """p-values for a logarithmic axis: at least FLOOR, at most 1."""
    return np.clip(values, FLOOR, 1.0)


def p_axis(axes: Axes, values: np.ndarray) -> float:
    """A logarithmic axis for p-values from below the smallest up to 1, with a line at 0.05; returns its lower end."""
    low = max(min(clip_p(values).min(initial=1) / 4, 3e-3), FLOOR / 4)
    axes.set_yscale("log")
    axes.set_ylim(low, 3 if low < 1e-6 else 1.6)
    axes.yaxis.set_major_locator(LogLocator(numticks=7))
    axes.minorticks_off()
    axes.axhline(0.05, color="#aaaaaa", lw=0.8, ls=":", zorder=1)
    return low


def metric_label(name: str) -> str:
    """A metric's label on an axis, with its better direction."""
    shown = metric(name)
    return f"{shown.label} {shown.arrow}".strip()
