"""A published number beside ours: how far apart, and whether it lies in our interval. Of a p-value, how many steps of D lie between."""

from dataclasses import dataclass

from baldro.analysis.rows import Cell
from baldro.stats import ks_step, ks_values

DIGITS = 1e-4
"""What a published p-value may lack of the one that it is: four decimals, cut or rounded."""


@dataclass(frozen=True, kw_only=True)
class Held:
    """What can be said of a published number and ours."""

    difference: float
    """Ours minus the published one."""
    inside: bool | None
    """Whether the published one lies in our interval; None where ours has none. Of a p-value: its D in that of ours."""
    steps: float | None = None
    """Of a p-value: the distance of the two D in steps of the grid on which D lies; None where the published p is that of no one D."""


def hold(ours: Cell, published: float) -> Held:
    """A metric's published value held against ours."""
    known = ours.low is not None and ours.high is not None
    return Held(difference=ours.mean - published, inside=ours.low <= published <= ours.high if known else None)


def hold_p(ours: Cell, published: float, distance: Cell | None, sizes: tuple[int, int] | None) -> Held:
    """A published p-value of the KS test held against ours: p takes few values, and only the D behind them can be compared.

    Args:
        distance: D of ours, with its interval; None where there is none.
        sizes: samples of the model and of the retain model, the same for both; None where they are not known.
    """
    theirs = distance_of(published, *sizes) if sizes else None
    if theirs is None or distance is None:
        return Held(difference=ours.mean - published, inside=None)
    inside = hold(distance, theirs).inside
    return Held(difference=ours.mean - published, inside=inside, steps=abs(distance.mean - theirs) / ks_step(*sizes))


def distance_of(p: float, n: int, m: int) -> float | None:
    """The one D that has a published p-value on n and m samples; None where none has it, or its decimals are those of several.

    >>> distance_of(0.7659, 40, 40), distance_of(1.0, 40, 40), distance_of(0.5, 40, 40)
    (0.15, None, None)
    """
    found = [d for d, value in ks_values(n, m) if abs(value - p) < DIGITS]
    return found[0] if len(found) == 1 else None
