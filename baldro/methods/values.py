"""The value of a field: what is allowed, its one canonical type, the one way it is written."""

import math
from collections.abc import Mapping
from typing import Any

from baldro.errors import BaldroError, unknown


def canonical(name: str, spec: Mapping[str, Any], value: Any) -> Any:
    """A field's value in its one canonical type; numbers may come as strings, since YAML reads 1e-5 as one.

    Args:
        spec: kind, bounds or choices.
    """
    if "choices" in spec:
        if value not in spec["choices"]:
            raise unknown(name, value, spec["choices"])
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
    limits = [("above", "above"), ("at_least", "of at least"), ("at_most", "of at most"), ("below", "below")]
    return " ".join(
        [words, " and ".join(f"{word} {spec[key]:g}" for key, word in limits if spec.get(key) is not None)]
    ).strip()


def within(spec: Mapping[str, Any], number: float) -> bool:
    """Whether a number is finite and within a field's bounds."""
    low, above, high, below = (spec.get(end) for end in ("at_least", "above", "at_most", "below"))
    return (
        math.isfinite(number)
        and (low is None or number >= low)
        and (above is None or number > above)
        and (high is None or number <= high)
        and (below is None or number < below)
    )
