"""The value of a field: what is allowed, its one canonical type, the one way it is written."""

import math
import operator
import re
from collections.abc import Mapping
from typing import Any

from baldro.errors import BaldroError, unknown

NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._]|-(?!-))*(?<!-)")
"""What stands in an id as it is: no `--`, which separates the parts of an id, and nothing that a file's name may not have."""
ENDS = {
    "above": ("above", operator.gt),
    "at_least": ("of at least", operator.ge),
    "at_most": ("of at most", operator.le),
    "below": ("below", operator.lt),
}
"""Key of a field's bound -> its words, and the comparison of a number with it."""


def canonical(name: str, spec: Mapping[str, Any], value: Any) -> Any:
    """A field's value in its one canonical type; numbers may come as strings, since YAML reads 1e-5 as one.

    Args:
        spec: kind, bounds or choices.
    """
    if "choices" in spec:
        if value not in spec["choices"]:
            raise unknown(name, value, spec["choices"])
        return value
    if spec["kind"] is str:
        if not isinstance(value, str) or not NAME.fullmatch(value):
            raise BaldroError("not-for-an-id", f"{name} is {value!r}; allowed: letters, digits, . _ -")
        return value
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not within(spec, number) or (spec["kind"] is int and number != int(number)):
        raise BaldroError("value-not-allowed", f"{name} is {value!r}; allowed: {_bounds(spec)}")
    whole = spec["kind"] is int or (number.is_integer() and abs(number) < 1e15)
    return int(number) if whole else number


def write(value: Any) -> str:
    """The one way a value stands in an id: shortest digits that give the same number back."""
    return repr(value) if isinstance(value, (int, float)) else str(value)


def _bounds(spec: Mapping[str, Any]) -> str:
    words = "a whole number" if spec["kind"] is int else "a number"
    ends = " and ".join(f"{word} {spec[end]:g}" for end, (word, _) in ENDS.items() if spec.get(end) is not None)
    return f"{words} {ends}".strip()


def within(spec: Mapping[str, Any], number: float) -> bool:
    """Whether a number is finite and within a field's bounds."""
    return math.isfinite(number) and all(
        holds(number, spec[end]) for end, (_, holds) in ENDS.items() if spec.get(end) is not None
    )
