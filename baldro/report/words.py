"""The report's English stands in templates/*.j2: a page, and libraries of macros that give a paragraph each."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from baldro.analysis.frame import is_method
from baldro.analysis.labels import level_label, method_label, metric, objective_label, plain
from baldro.report import style

PAGE = "page.html.j2"


@cache
def environment(*, page: bool = False) -> Environment:
    """The templates, with what all of them use. page: HTML, in which tags leave no lines."""
    found = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=page,
        undefined=StrictUndefined,
        trim_blocks=page,
        lstrip_blocks=page,
    )
    words = (metric, plain, level_label, objective_label, style.counted, style.listed, style.number, style.with_ends)
    words += (method_label, style.difference_text, style.samples_text, style.amount, style.percent, style.step_text)
    found.globals |= {each.__name__: each for each in words}
    return found


def paragraph(template: str, macro: str, **values: Any) -> str:
    """What a macro of a template says, in one line."""
    module = environment().get_template(f"{template}.j2").module
    return " ".join(str(getattr(module, macro)(**values)).split())


def describe(rule: Mapping[str, Any], frame: pd.DataFrame) -> str:
    """The rule of selection in a sentence or two, with how many runs of how many seeds it had to choose from."""
    methods = frame[is_method(frame)]
    seeds = {value for value in methods.get("seed", pd.Series(dtype=object)) if not pd.isna(value)}
    lost = {status: int((methods["status"] == status).sum()) for status in ("failed", "missing")}
    return paragraph("captions", "selection", rule=rule, runs=len(methods), lost=lost, seeds=len(seeds))
