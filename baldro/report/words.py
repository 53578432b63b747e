"""The report's English stands in templates/*.j2: a page, and libraries of macros that give a paragraph each."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from baldro.analysis.frame import is_method
from baldro.analysis.labels import metric, plain
from baldro.report.style import counted, listed, number, with_ends

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
    found.globals |= {
        "counted": counted,
        "listed": listed,
        "metric": metric,
        "number": number,
        "plain": plain,
        "with_ends": with_ends,
    }
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
