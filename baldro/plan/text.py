"""How the plan writes numbers."""

import textwrap
from collections.abc import Callable

WIDTH = 120


def line(what: str, value: float | str, text: Callable[[float], str], how: str) -> str:
    """What, how much, how it was estimated; in place of an amount, what is lacking to know it.

    What is longer than a terminal of 120 columns goes on below itself, two columns further in, as a section's lines stand.
    """
    if isinstance(value, str):
        return f"{what:28} {value}"
    head = f"{what:28} {text(value):>9}   "
    return (head + f"\n  {'':{len(head)}}".join(textwrap.wrap(how, WIDTH - 2 - len(head)))).rstrip()


def size(value: float) -> str:
    """Bytes: *105 TB*, *1.78 GB*, *52 kB*."""
    for unit, one in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if value >= one:
            return f"{value / one:,.3g} {unit}" if value < 999 * one else f"{value / one:,.0f} {unit}"
    return f"{value / 1e3:,.0f} kB"


def hours(value: float) -> str:
    """Hours: *57.6 h*, *2.0 min*, *4.7 s*."""
    if value >= 0.1:
        return f"{value:,.1f} h"
    return f"{value * 60:.1f} min" if value * 60 >= 1 else f"{value * 3600:.1f} s"


def limit(minutes: int) -> str:
    """A time limit: *10 min*, *1 h*, *2.67 h*."""
    return f"{minutes} min" if minutes < 60 else f"{minutes / 60:,.3g} h"


def count(number: int, what: str) -> str:
    """*1 run*, *1,254 runs*, *no GPU*."""
    return f"{number:,} {what}{'s' * (number > 1)}" if number else f"no {what}"
