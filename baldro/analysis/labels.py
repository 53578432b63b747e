"""What rows, methods, settings and metrics are called, and in what order they stand."""

from collections.abc import Mapping
from typing import Any

from baldro.errors import unknown
from baldro.metrics import Metric, find
from baldro.runs import COMBINERS, FIELDS, KINDS, OBJECTIVES, VARIANTS, Run

USUAL_COMBINER = FIELDS["combiner"]["default"]
"""The combiner of a method that names none."""
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
    ("precision", "bf16-stochastic"): "bf16 parameters, stochastic",
    ("optimiser", "adamw"): "AdamW",
    ("optimiser", "adamw-8bit"): "8-bit AdamW",
    ("g_rank", "loss"): "ranked by loss",
    ("g_rank", "likelihood"): "ranked by likelihood",
    ("g_retain", "whole"): "whole retain batch",
    ("g_retain", "cut"): "cut retain batch",
}
"""A field's value, where it is a factor of its own, in words."""


def metric(name: str) -> Metric:
    """How to show a metric; one that is not known here is shown under its own name, without a direction."""
    words = name.replace("_", " ")
    return find(name) or Metric(name=name, define=lambda *_: None, label=words, short=words, source="")


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
    return _rank(objective, OBJECTIVE_ORDER)


def variant_rank(variant: str) -> tuple[int, str]:
    """Sorting key: VARIANT_ORDER, then the alphabet."""
    return _rank(variant, VARIANT_ORDER)


def _rank(name: str, order: tuple[str, ...]) -> tuple[int, str]:
    return order.index(name) if name in order else len(order), name


def variant_label(variant: str) -> str:
    """*baldro-dv* -> *BalDRO-DV*; empty for base."""
    return VARIANTS[variant].label if variant in VARIANTS else variant


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
    """A run whose model another one starts from, by its id: *NPO + BalDRO-DV of forget05 (lr 0.001)*; of a chain with all its requests."""
    run = Run.parse(id)
    splits = [run.split]
    while run.repeats():
        run = run.parent
        splits.insert(0, run.split)
    name = f"{method_label(run.objective, run.variant)} of {', '.join(splits)}"
    settings = hyperparameter_label({"parent": run.parent and run.parent.id} | run.settings())
    return f"{name} ({settings})" if settings else name


def method_label(objective: str, variant: str, hyperparameters: Mapping[str, Any] | None = None) -> str:
    """*NPO + BalDRO-DV (beta_dv 5)*; *NPO (BLUR)*, and the usual combiner goes without saying."""
    name = " + ".join(part for part in (objective_label(objective), variant_label(variant)) if part)
    named = {
        name: value for name, value in (hyperparameters or {}).items() if (name, value) != ("combiner", USUAL_COMBINER)
    }
    tail = hyperparameter_label(named)
    return f"{name} ({tail})" if tail else name


def plain(value: Any) -> str:
    """A setting's value as it is spoken of: shortest digits, no trailing zero."""
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
