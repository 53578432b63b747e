"""What a method's module declares, read from its source: label, fields with defaults and bounds, formula. No import, and so no torch.

A module of `objectives`, `variants` or `combiners` is a method if one of its functions has the room's decorator.
"""

import ast
import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from baldro.errors import BaldroError
from baldro.methods.signature import WORD, fields_of

PACKAGE = Path(__file__).resolve().parent
GIVES = {
    "objective": ("loss", "token_loss"),
    "variant": ("weights",),
    "combiner": ("update", "multiplier", "penalty"),
}
"""Decorator -> names of functions that it may mark; the name says what the function returns."""


@dataclass(frozen=True, kw_only=True)
class Declared:
    """A method, as its module declares it."""

    name: str
    """The module's name, with - for _."""
    place: str
    """File and line of its function."""
    function: str
    """Name of the decorated function, which says what it returns."""
    options: Mapping[str, Any]
    """Arguments of the decorator."""
    fields: Mapping[str, Mapping[str, Any]]
    """Field -> kind, default, bounds or choices, text."""
    source: str
    """The method and its paper: the first paragraph of the module's docstring."""
    formula: str
    """The first paragraph of the function's docstring."""
    cost: str
    """Cost of a step beyond the usual, in words; empty if there is none."""


@cache
def declared(room: str, decorator: str) -> Mapping[str, Declared]:
    """The methods of a room (a folder beside this file), by name, in the order of their names.

    Raises:
        BaldroError: a decorated function that cannot be read as it is described above.
    """
    found = (_read(path, decorator) for path in sorted((PACKAGE / room).glob("*.py")))
    return {method.name: method for method in found if method}


def _read(path: Path, decorator: str) -> Declared | None:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise BaldroError("not-python", f"{path}:{error.lineno}: not Python ({error.msg}); allowed: a module") from None
    node = next((node for node in tree.body if _marked(node, decorator)), None)
    if node is None:
        return None
    text = inspect.cleandoc(ast.get_docstring(node) or "")
    try:
        _check_place(path, tree, node, decorator)
        (call,) = (one for one in node.decorator_list if isinstance(one, ast.Call))
        options = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
        fields = fields_of(node, text)
    except (ValueError, KeyError, AttributeError, SyntaxError) as error:
        raise BaldroError(
            "method-not-readable",
            f"{path}:{node.lineno}: {node.name} cannot be read ({error}); allowed: @{decorator}(label=...) with literals on a function "
            f'{" or ".join(GIVES[decorator])}, and keyword-only fields such as mine_beta: Annotated[float, "> 0"] = 1.0, each with a line '
            "under Args",
        ) from None
    cost = re.search(r"^Cost:\s*(.+?)(?:\n\n|\Z)", text, re.MULTILINE | re.DOTALL)
    return Declared(
        name=path.stem.replace("_", "-"),
        place=f"{path}:{node.lineno}",
        function=node.name,
        options=options,
        fields=fields,
        source=_paragraph(ast.get_docstring(tree) or ""),
        formula=_paragraph(text),
        cost=" ".join(cost[1].split()) if cost else "",
    )


def _marked(node: ast.stmt, decorator: str) -> bool:
    """Whether a statement is a function or class with the decorator, called or not."""
    marks = [one.func if isinstance(one, ast.Call) else one for one in getattr(node, "decorator_list", ())]
    return any(isinstance(mark, ast.Name) and mark.id == decorator for mark in marks)


def _check_place(path: Path, tree: ast.Module, node: ast.stmt, decorator: str) -> None:
    """Check the file's name, and that exactly one function in it is marked and named as the room asks."""
    if not re.fullmatch(WORD, path.stem) or "-" in path.stem:
        raise ValueError(f"{path.name} is no name for a method, such as mine_too.py")
    if not isinstance(node, ast.FunctionDef) or node.name not in GIVES[decorator]:
        raise ValueError(f"no function {' or '.join(GIVES[decorator])}")
    others = [one for one in tree.body if getattr(one, "name", None) in GIVES[decorator] or _marked(one, decorator)]
    if others != [node]:
        raise ValueError(f"one of {len(others)} in this file")
    if not any(isinstance(one, ast.Call) for one in node.decorator_list):
        raise ValueError(f"@{decorator} is not called")


def _paragraph(text: str) -> str:
    return " ".join(text.partition("\n\n")[0].split())
