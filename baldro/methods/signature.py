"""A method's fields, read from its function's signature and docstring: keyword-only arguments that are annotated and have a default.

`wga_beta: Annotated[float, ">= 0"] = 1.0`, `k: int = 7`, `form: Literal["a", "b"] = "a"`; signs of bounds are >, >=, < and <=, two of them
with a comma between: "> 0, <= 1".
"""

import ast
import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any

from baldro.methods.values import within

KINDS = {"float": float, "int": int}
BOUNDS = {">=": "at_least", ">": "above", "<=": "at_most", "<": "below"}
CALLERS = ("gamma", "lam", "epoch")
"""Keyword-only arguments that the loop fills in; all others are fields."""
WORD = r"[a-z0-9]+([_-][a-z0-9]+)*"
"""Choices of text, which are part of a run's id, and names of modules."""


def fields_of(node: ast.FunctionDef, text: str) -> dict[str, dict[str, Any]]:
    """Field -> kind, default, bounds or choices, text.

    Args:
        text: the function's docstring; its Args say what each field is.

    Raises:
        ValueError, AttributeError, SyntaxError: an argument that is no field as described above.
    """
    about = _arguments(text)
    return {name: _field(name, hint, value, about) for name, hint, value in _keyword_only(node)}


def _keyword_only(node: ast.FunctionDef) -> Iterator[tuple[str, ast.expr, Any]]:
    """Name, annotation and default of each field."""
    if node.args.defaults or node.args.vararg or node.args.kwarg:
        raise ValueError("a field is neither before the * nor one of many")
    for argument, value in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
        if argument.arg in CALLERS:
            continue
        if value is None or argument.annotation is None:
            raise ValueError(f"{argument.arg} has no {'default' if value is None else 'annotation'}")
        yield argument.arg, argument.annotation, ast.literal_eval(value)


def _field(name: str, hint: ast.expr, default: Any, about: Mapping[str, str]) -> dict[str, Any]:
    if name not in about:
        raise ValueError(f"{name} has no line under Args")
    spec: dict[str, Any] = {"default": default, "text": about[name]}
    arguments = []
    if isinstance(hint, ast.Subscript):
        arguments = hint.slice.elts if isinstance(hint.slice, ast.Tuple) else [hint.slice]
    if arguments and hint.value.id == "Literal":
        choices = tuple(ast.literal_eval(one) for one in arguments)
        wrong = [one for one in choices if not isinstance(one, str) or not re.fullmatch(WORD, one)]
        if wrong:
            raise ValueError(f"{name} has the choice {wrong[0]!r}, which is no word")
        if default not in choices:
            raise ValueError(f"{name} is {default!r} by default, which is none of {', '.join(choices)}")
        return spec | {"kind": str, "choices": choices}
    kind, *bounds = arguments or [hint]
    if kind.id not in KINDS or (arguments and (hint.value.id != "Annotated" or len(bounds) != 1)):
        raise ValueError(
            f"{name} is {ast.unparse(hint)}, not a float, an int, one of these Annotated with bounds, or a Literal"
        )
    spec["kind"] = KINDS[kind.id]
    for bound in ast.literal_eval(bounds[0]).split(",") if bounds else ():
        match = re.fullmatch(r"\s*(>=|>|<=|<)\s*(\S+)\s*", bound)
        if not match:
            raise ValueError(f"{name} has the bound {bound.strip()!r}")
        spec[BOUNDS[match[1]]] = float(match[2])
    if isinstance(default, bool) or not isinstance(default, (int, spec["kind"])) or not within(spec, default):
        raise ValueError(f"{name} is {default!r} by default, which is outside {ast.unparse(hint)}")
    return spec


def _arguments(text: str) -> dict[str, str]:
    """Argument -> text, of the docstring's Args."""
    section = re.search(r"^Args:\n((?:[ \t]+.*\n?|\n(?=[ \t]))+)", text, re.MULTILINE)
    lines = inspect.cleandoc(section[1]).splitlines() if section else []
    found: dict[str, str] = {}
    for line in lines:
        match = re.match(r"(\w+):\s+(.*)", line)
        if match:
            found[match[1]] = match[2]
        elif found and line.startswith((" ", "\t")):
            found[list(found)[-1]] += f" {line.strip()}"
    return {name: line[:1].upper() + line[1:] for name, line in found.items()}
