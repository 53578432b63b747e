"""What comparisons and attribution share: one level, one correction for several tests, and the direction of a difference."""

from collections.abc import Hashable, Sequence

from baldro.analysis.labels import metric
from baldro.stats import holm

ALPHA = 0.05
"""The level of every test."""
BETTER, WORSE = "better", "worse"


def corrected(p_values: Sequence[float | None], families: Sequence[Hashable]) -> list[float | None]:
    """Holm's p of each test, within its family; None where nothing was tested.

    Args:
        p_values: one a test.
        families: one a test: tests of equal ones are corrected for each other.
    """
    members: dict[Hashable, list[int]] = {}
    for at, (p, family) in enumerate(zip(p_values, families, strict=True)):
        if p is not None:
            members.setdefault(family, []).append(at)
    found: list[float | None] = [None] * len(p_values)
    for own in members.values():
        for at, p in zip(own, holm([p_values[at] for at in own]), strict=True):
            found[at] = float(p)
    return found


def direction(name: str, difference: float) -> str:
    """better or worse, by the metric's direction; higher or lower where it has none."""
    wanted = metric(name).better
    if not wanted:
        return "higher" if difference > 0 else "lower"
    return BETTER if (difference > 0) == (wanted == "up") else WORSE
