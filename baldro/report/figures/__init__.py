"""The figures: quality against utility, sensitivity to a variant's strength, asynchronous forgetting, what target and retain
model know, what is kept as more is forgotten, what crossed factors change.

Each is written as a PNG for the page and a PDF with real text for the paper; the same input gives the same bytes.
The only room that imports matplotlib.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from baldro.analysis.attribution import Attributed
from baldro.analysis.evidence import known
from baldro.analysis.samples import Samples
from baldro.report.figures.attribution import draw_attribution
from baldro.report.figures.canvas import Absent, Drawn, Sketch, house_style, save
from baldro.report.figures.forgetting import draw_forgetting
from baldro.report.figures.growing import draw_growing, growing
from baldro.report.figures.knowledge import draw_knowledge
from baldro.report.figures.strength import STRENGTHS, draw_strength, swept
from baldro.report.figures.tradeoff import draw_tradeoff

__all__ = ["Drawn", "draw_all", "draw_effects"]


def draw_all(
    frame: pd.DataFrame, samples: Mapping[str, Samples], rule: Mapping[str, Any], *, results: Path, folder: Path
) -> tuple[list[Drawn], list[str]]:
    """Every figure that the results allow, per benchmark and model; and a sentence for each that they do not.

    samples: values per sample, by run id.
    """
    drawn: list[Drawn] = []
    absent: list[str] = []
    folder.mkdir(parents=True, exist_ok=True)
    for benchmark, model in dict.fromkeys(zip(frame["benchmark"], frame["model"], strict=True)):
        part = frame[(frame["benchmark"] == benchmark) & (frame["model"] == model)]
        drawings = {
            "tradeoff": lambda part=part: draw_tradeoff(part, rule),
            **_strengths(part, rule),
            "forgetting": lambda part=part: draw_forgetting(part, results),
            "knowledge": lambda part=part: draw_knowledge(known(part, samples)),
            **_growing(part, rule, results),
        }
        for name, draw in drawings.items():
            with house_style():
                try:
                    sketch = draw()
                except Absent as reason:
                    absent.append(f"{benchmark}, {model}: {reason}.")
                else:
                    drawn.append(save(sketch, folder / f"{benchmark}--{model}--{name}", f"{benchmark}, {model}"))
    return drawn, absent


def _strengths(part: pd.DataFrame, rule: Mapping[str, Any]) -> dict[str, Callable[[], Sketch]]:
    """BalDRO-DV's beta (the page says why, if it cannot be drawn), and every other strength that was swept."""
    fields = [name for name in STRENGTHS if name == "dv_beta" or len(swept(part, name))]
    return {STRENGTHS[name].file: partial(draw_strength, part, rule, name) for name in fields}


def _growing(part: pd.DataFrame, rule: Mapping[str, Any], results: Path) -> dict[str, Callable[[], Sketch]]:
    """What is kept over requests and over their size, where runs differ in these."""
    found = growing(part, results).items()
    return {name: partial(draw_growing, part, x, rule, requests=name == "requests") for name, x in found}


def draw_effects(effects: Sequence[Attributed], *, folder: Path) -> list[Drawn]:
    """The figure of crossed factors of each benchmark and model; `folder` exists."""
    drawn = []
    for benchmark, model in dict.fromkeys((e.benchmark, e.model) for e in effects):
        with house_style():
            sketch = draw_attribution([e for e in effects if (e.benchmark, e.model) == (benchmark, model)])
            drawn.append(save(sketch, folder / f"{benchmark}--{model}--attribution", f"{benchmark}, {model}"))
    return drawn
