"""How numbers are written, and each method's colour and marker. No drawing here."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from baldro.analysis.comparisons import Comparison
from baldro.analysis.labels import REFERENCES, metric, objective_rank, variant_rank
from baldro.analysis.significance import Difference
from baldro.metrics import METRICS
from baldro.stats import ks_step

DASH = "\N{EN DASH}"
"""Stands where there is no number."""
# Okabe and Ito's palette, told apart under every common colour blindness; black and grey belong to the references.
COLOURS = {
    "original": "#000000",
    "retain": "#7a7a7a",
    "npo": "#0072B2",
    "simnpo": "#D55E00",
    "satimp": "#009E73",
    "gradascent": "#CC79A7",
    "graddiff": "#E69F00",
}
SPARE_COLOURS = ("#56B4E9", "#882255", "#A6761D", "#44AA99", "#332288", "#999933", "#8C6BB1", "#D9C400")
"""For all other objectives, one after the other; from the ninth on again, with a dark edge and another marker."""
EDGES = ("white", "black")
MARKERS = {"original": "*", "retain": "P", "base": "o", "baldro-g": "s", "baldro-dv": "^"}
SPARE_MARKERS = ("D", "v", "X", "p", "<", "h", ">", "d", "8")
POINTS = ("o", "s", "^", "D", "v", "X", "p", "<", "h", ">", "d")
"""Markers of objectives, where the marker is not the variant's."""
COARSE = tuple(name for name, m in METRICS.items() if m.high > 1)
"""Metrics beyond 1, of which one decimal is shown."""


def metric_number(value: float, name: str) -> str:
    """A metric's value as text."""
    if metric(name).p_value:
        return number(value, p_value=True)
    return number(value, digits=1 if name in COARSE else 3)


def ends_text(low: float, high: float, name: str) -> str:
    """*[0.38, 0.55]*, the ends of an interval: a decimal less than the value has, unless that would hide its width."""
    marked = any(0 < abs(end - mark) < 0.005 for end in (low, high) for mark in (0, 0.5, 1))  # which side must be seen
    digits = 1 if name in COARSE else 2 if high - low >= 0.02 and not marked else 3
    return f"[{number(low, digits=digits)}, {number(high, digits=digits)}]"


def with_ends(value: float, ends: tuple[float, float] | None, name: str) -> str:
    """*0.980 [0.97, 0.99]*, a metric's value with its interval if it has one."""
    text = metric_number(value, name)
    return text if ends is None else f"{text} {ends_text(*ends, name)}"


def range_text(low: float, high: float) -> str:
    """*(0.36-0.58)*, p-values from the smallest to the largest; tiny ones with one digit."""
    texts = (f"{p:.0e}" if 0 < p < 9.5e-4 else number(p, p_value=True) for p in (low, high))
    return f"({'-'.join(texts)})"


def variant_marker(variant: str, others: Sequence[str]) -> str:
    """A variant's marker; `others` are all variants of the figure."""
    if variant in MARKERS:
        return MARKERS[variant]
    spare = sorted((name for name in others if name not in MARKERS), key=variant_rank)
    return SPARE_MARKERS[spare.index(variant) % len(SPARE_MARKERS)]


@dataclass(frozen=True, kw_only=True)
class Look:
    """How an objective is drawn: colour and edge together are its own, and so are colour and marker."""

    colour: str
    edge: str
    """Of its markers, where these are the variants'."""
    marker: str


def look(objective: str, others: Sequence[str]) -> Look:
    """An objective's look; `others` are all objectives of the figure, so that each of them gets one of its own."""
    ranked = sorted({name for name in others if name not in REFERENCES}, key=objective_rank)
    marker = POINTS[ranked.index(objective) % len(POINTS)] if objective in ranked else POINTS[0]
    if objective in COLOURS:
        return Look(colour=COLOURS[objective], edge=EDGES[0], marker=marker)
    turn, place = divmod([name for name in ranked if name not in COLOURS].index(objective), len(SPARE_COLOURS))
    return Look(colour=SPARE_COLOURS[place], edge=EDGES[turn % len(EDGES)], marker=marker)


def number(value: float, *, p_value: bool = False, digits: int = 3) -> str:
    """`digits` decimals; a p-value with two significant digits: 0.42, 0.054, 0.0013, 3.1e-05."""
    if not p_value:
        text = f"{value:.{digits}f}"
        return text.removeprefix("-") if float(text) == 0 else text
    if value >= 0.095 or value == 0:
        return f"{value:.2f}" if value else "0"
    return f"{value:.1e}" if value < 9.5e-4 else f"{value:#.2g}"


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """*1 run*, *3 runs*."""
    return f"{count} {noun if count == 1 else plural or noun + 's'}"


def listed(items: list[str]) -> str:
    """*a*, *a and b*, *a, b and c*."""
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1] if items else "none"


def signed(value: float, name: str) -> str:
    """A difference in a metric, with its sign."""
    text = number(value, digits=1 if name in COARSE else 3)
    return text if value < 0 or float(text) == 0 else f"+{text}"


def difference_text(d: Difference) -> str:
    """*+0.041 [+0.020, +0.062]*, or the difference alone where there is no interval."""
    if d.difference is None:
        return "not comparable"
    mean, *ends = (None if v is None else signed(v, d.metric) for v in d.numbers.values())
    return mean if ends[0] is None else f"{mean} [{', '.join(ends)}]"


def samples_text(comparison: Comparison) -> str:
    """*p 0.0030, d_z -0.41*: the adjusted p over samples, and the effect where there is one; empty where not tested."""
    if not comparison.tested:
        return ""
    effect = comparison.test.effect
    return f"p {number(comparison.p_holm, p_value=True)}" + ("" if effect is None else f", d_z {effect:+.2f}")


def step_text(sizes: tuple[int, int]) -> str:
    """*0.0625*: in which D moves with so many samples of the two models."""
    return f"{ks_step(*sizes):.4g}"


def amount(value: float | None) -> str:
    """*1,000*, or a dash."""
    return DASH if value is None else f"{value:,.0f}"


def percent(share: float | None) -> str:
    """*80 %*, or a dash."""
    return DASH if share is None else f"{100 * share:.0f} %"


def grouped_by(items: Iterable[Any], key: Callable[[Any], Any]) -> dict[Any, list[Any]]:
    """key -> its items, both in the order in which they come."""
    found: dict[Any, list[Any]] = {}
    for item in items:
        found.setdefault(key(item), []).append(item)
    return found
