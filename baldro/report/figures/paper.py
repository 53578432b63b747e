"""The figures of BalDRO's paper, a file each benchmark and model; what cannot be drawn is a sentence."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from baldro.analysis.labels import metric
from baldro.metrics import shown
from baldro.metrics.metric import STRENGTH
from baldro.report.figures.canvas import Absent, Drawn, Sketch, house_style, save
from baldro.report.figures.levels import draw_levels
from baldro.report.figures.strength import STRENGTHS, draw_strength
from baldro.report.paper.layout import Shown
from baldro.report.tables import published_numbers


def draw_paper(parts: Sequence[Shown], *, folder: Path) -> tuple[list[Drawn], list[str]]:
    """Every figure that the results allow, and a sentence for each that they do not."""
    drawn: list[Drawn] = []
    absent: list[str] = []
    folder.mkdir(parents=True, exist_ok=True)
    for each in (each for each in parts if each.exhibit.field):
        for (benchmark, model), part in each.frame.groupby(["benchmark", "model"], sort=False):
            title, where = each.exhibit.title, f"{benchmark}, {model}"
            with house_style():
                try:
                    sketch = _drawing(each, part)()
                except Absent as reason:
                    absent.append(f"{title}, {where}: {reason}.")
                else:
                    stem = folder / f"{benchmark}--{model}--{each.exhibit.file}"
                    drawn.append(save(replace(sketch, title=f"{title}: {sketch.title}"), stem, where))
    return drawn, absent


def _drawing(each: Shown, part: pd.DataFrame) -> Callable[[], Sketch]:
    """How a figure is drawn: over a strength as in any report, or by the levels of a field."""
    field = each.exhibit.field
    if field in STRENGTHS:
        return lambda: draw_strength(part, each.rule, field)
    names, published = shown(STRENGTH, part.columns), None
    if each.exhibit.source:
        published = published_numbers(part["benchmark"].iloc[0], part["model"].iloc[0], (each.exhibit.source,))
        own = each.exhibit.metrics
        names = [*own, *(metric(name).statistic_behind for name in own if metric(name).statistic_behind)]
    return lambda: draw_levels(part, each.rule, field, names, published)
