"""How names and numbers are written: labels, the better direction of each metric, colours, markers. No drawing here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from baldro.errors import unknown
from baldro.metrics import METRICS as DEFINED
from baldro.runs import COMBINERS, FIELDS, KINDS, OBJECTIVES, VARIANTS, Run

USUAL_COMBINER = FIELDS["combiner"]["default"]
"""The combiner of a method that names none."""
DASH = "\N{EN DASH}"
"""Stands where there is no number."""
REFERENCES = ("original", "retain")
"""Rows that are compared with, not methods."""
OBJECTIVE_ORDER = tuple(dict.fromkeys([*REFERENCES, "npo", "simnpo", "satimp", "gradascent", "graddiff", *OBJECTIVES]))
"""The order of the paper's table, then that of OBJECTIVES."""
VARIANT_ORDER = tuple(dict.fromkeys(["base", "baldro-g", "baldro-dv", *VARIANTS]))
FIELD_LABELS = {
    "dv_beta": "beta_dv",
    "dv_rho": "rho_dv",
    "chi2_rho": "rho",
    "cvar_alpha": "alpha",
    "topk_temperature": "temperature",
    "g_fraction": "kept share",
    "lora_rank": "LoRA rank",
    "lora_alpha": "LoRA alpha",
}
LEVEL_LABELS = {
    ("dv_direction", "hard"): "paper sign",
    ("dv_direction", "easy"): "released sign",
    ("dv_level", "sample"): "samples reweighted",
    ("dv_level", "token"): "tokens reweighted",
    ("retain_normalisation", "token-mean"): "token mean",
    ("retain_normalisation", "sample-mean"): "sample mean",
    ("retain_normalisation", "token-sum"): "token sum",
    ("forget_normalisation", "sample-mean"): "forget sample mean",
    ("forget_normalisation", "token-mean"): "forget token mean",
    ("robust_scope", "batch"): "whole batch",
    ("robust_scope", "micro-batch"): "micro-batch",
    ("precision", "fp32"): "fp32",
    ("precision", "bf16"): "fp32 parameters",
    ("precision", "bf16-only"): "bf16 parameters",
    ("g_rank", "loss"): "ranked by loss",
    ("g_rank", "likelihood"): "ranked by likelihood",
    ("g_retain", "whole"): "whole retain batch",
    ("g_retain", "cut"): "cut retain batch",
}
"""A field's value, where it is a factor of its own, in words."""

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


@dataclass(frozen=True, kw_only=True)
class Metric:
    """How a metric is shown."""

    label: str
    """In sentences and on axes."""
    short: str
    """At the head of a column."""
    better: str = ""
    """up, down, or empty where neither direction is better."""
    p_value: bool = False
    """Written with two significant digits, drawn on a logarithmic axis."""

    @property
    def arrow(self) -> str:
        """The better direction as a sign: ↑, ↓ or nothing."""
        return {"up": "↑", "down": "↓", "": ""}[self.better]


METRICS = {
    name: Metric(label=m.label, short=m.short, better=m.better, p_value=m.p_value) for name, m in DEFINED.items()
}
TABLE_METRICS = (
    (
        "forget_quality",
        "forget_quality_d",
        "model_utility",
        "exact_memorization",
        "extraction_strength",
        "forget_truth_ratio",
    ),
    (
        "knowmem_forget",
        "verbmem_forget",
        "knowmem_retain",
        "privleak",
        "exact_memorization",
        "extraction_strength",
    ),
)
"""The columns of the main table unless told otherwise: TOFU's, MUSE's; the results say which."""
COLLAPSE = "membership and collapse"
COLLAPSE_METRICS = tuple(
    name
    for name, m in DEFINED.items()
    if m.statistic in ("auc", "leak") or name == "fluency" or name.endswith(("_repetition", "_length"))
)
"""The columns of the table *membership and collapse*."""
COARSE = tuple(name for name, m in DEFINED.items() if m.high > 1)
"""Metrics beyond 1, of which one decimal is shown."""


def metric(name: str) -> Metric:
    """How to show a metric; one that is not known here is shown under its own name, without a direction."""
    return METRICS.get(name) or Metric(label=name.replace("_", " "), short=name.replace("_", " "))


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


def range_text(low: float, high: float) -> str:
    """*(0.36-0.58)*, p-values from the smallest to the largest; tiny ones with one digit."""
    texts = (f"{p:.0e}" if 0 < p < 9.5e-4 else number(p, p_value=True) for p in (low, high))
    return f"({'-'.join(texts)})"


def check_metrics(names: list[str], present: list[str], *, where: str) -> None:
    """A one-line error for a metric that no result has."""
    for name in names:
        if name not in present:
            raise unknown("metric", name, present, where=where)


def objective_label(objective: str) -> str:
    """*npo* -> *NPO*."""
    return KINDS[objective].label if objective in KINDS else objective


def objective_rank(objective: str) -> tuple[int, str]:
    """Sorting key: OBJECTIVE_ORDER, then the alphabet."""
    known = objective in OBJECTIVE_ORDER
    return (OBJECTIVE_ORDER.index(objective) if known else len(OBJECTIVE_ORDER), objective)


def variant_rank(variant: str) -> tuple[int, str]:
    """Sorting key: VARIANT_ORDER, then the alphabet."""
    known = variant in VARIANT_ORDER
    return (VARIANT_ORDER.index(variant) if known else len(VARIANT_ORDER), variant)


def variant_label(variant: str) -> str:
    """*baldro-dv* -> *BalDRO-DV*; empty for base."""
    return VARIANTS[variant].label if variant in VARIANTS else variant


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


def colour(objective: str, others: Sequence[str]) -> str:
    """An objective's colour, as of `look`."""
    return look(objective, others).colour


def hyperparameter_label(values: Mapping[str, Any]) -> str:
    """*{dv_beta: 5, lr: 1e-05}* -> *beta_dv 5, lr 1e-05*; fields that are None are left out. A combiner is its label: *BLUR*."""
    return ", ".join(_setting(name, value) for name, value in values.items() if value is not None)


def field_label(name: str) -> str:
    """*g_fraction* -> *kept share*; a field of the retain batch as the forget batch's own, with *retain* before it."""
    own = name.removeprefix("retain_")
    if own != name and own in FIELD_LABELS:
        return f"retain {FIELD_LABELS[own]}"
    return FIELD_LABELS.get(name, name.replace("_", " "))


def level_label(name: str, value: Any) -> str:
    """A level of a factor in words, *released sign*; otherwise *lr=1e-05*."""
    return LEVEL_LABELS.get((name, value)) or f"{name}={plain(value)}"


def _setting(name: str, value: Any) -> str:
    if name == "combiner" and value in COMBINERS:
        return COMBINERS[value].label or value
    if name == "parent":
        return f"after {parent_label(value)}"
    if name in ("variant", "retain_variant"):
        return f"{field_label(name)} {variant_label(value) or value}"
    return f"{field_label(name)} {plain(value)}"


def parent_label(id: str) -> str:
    """A run whose model another one starts from, by its id: *NPO + BalDRO-DV of forget05 (lr 0.001)*."""
    run = Run.parse(id)
    name = f"{method_label(run.objective, run.variant)} of {run.split}"
    told = hyperparameter_label({"parent": run.parent and run.parent.id} | run.settings())
    return f"{name} ({told})" if told else name


def method_label(objective: str, variant: str, hyperparameters: Mapping[str, Any] | None = None) -> str:
    """*NPO + BalDRO-DV (beta_dv 5)*; *NPO (BLUR)*, and the usual combiner goes without saying."""
    name = " + ".join(part for part in (objective_label(objective), variant_label(variant)) if part)
    told = {
        name: value for name, value in (hyperparameters or {}).items() if (name, value) != ("combiner", USUAL_COMBINER)
    }
    tail = hyperparameter_label(told)
    return f"{name} ({tail})" if tail else name


def plain(value: Any) -> str:
    """A setting's value as it is spoken of: shortest digits, no trailing zero."""
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


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
