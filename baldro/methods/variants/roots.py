"""A root in one dimension, to the last bit."""

from collections.abc import Callable


def falls_at(above: Callable[[float], bool], low: float, high: float) -> float:
    """Where `above` turns from True (at `low`) to False (at `high`), by halving until no float lies between."""
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if above(middle) else (low, middle)
    return high
