"""Facts about the methods that make a run canonical: which fields matter to which objective and variant.

The methods themselves are in `baldro.objectives` and `baldro.robust`, which import torch; a test compares.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What the grid must know of an objective."""

    label: str
    """Its name in tables."""
    trains: bool = True
    """False for the two models that runs are compared with."""
    unlearns: bool = True
    """True if it has a forget loss, and so a robust variant."""
    retains: bool = True
    """True if a retain loss is added."""
    reference: bool = False
    """True if it needs log-probabilities of the model before unlearning."""
    tokens: bool = False
    """True if its loss is a mean over tokens, so that tokens can be reweighted."""
    fields: tuple[str, ...] = ()
    """Its own hyperparameters."""
    defaults: Mapping[str, float] = field(default_factory=dict)
    """Where its usual value differs from the field's default."""


TRAINING = (
    "lr",
    "epochs",
    "max_steps",
    "batch_size",
    "weight_decay",
    "warmup_epochs",
    "schedule",
    "clip_norm",
    "precision",
    "seed",
)
RETAINING = ("forget_weight", "retain_weight", "retain_normalisation")

OBJECTIVES: dict[str, Objective] = {
    "original": Objective(label="Original", trains=False, unlearns=False, retains=False),
    "retain": Objective(label="Retain", trains=False, unlearns=False, retains=False),
    "pretrain": Objective(label="Base", unlearns=False, retains=False),
    "finetune": Objective(label="Finetuned", unlearns=False, retains=False),
    "gradascent": Objective(label="GradAscent", retains=False, tokens=True),
    "graddiff": Objective(label="GradDiff", tokens=True),
    "npo": Objective(label="NPO", reference=True, fields=("npo_beta",)),
    "simnpo": Objective(label="SimNPO", fields=("simnpo_beta", "simnpo_delta"), defaults={"forget_weight": 0.125}),
    "satimp": Objective(
        label="SatImp", tokens=True, fields=("satimp_beta1", "satimp_beta2"), defaults={"forget_weight": 0.1}
    ),
}

VARIANTS: dict[str, tuple[str, ...]] = {
    "base": (),
    "baldro-g": ("g_fraction", "g_rank", "g_retain", "robust_scope"),
    "baldro-dv": ("dv_beta", "dv_direction", "dv_level", "robust_scope"),
}

AMBIGUOUS = {
    "beta": "dv_beta (temperature of BalDRO-DV), npo_beta or simnpo_beta (inverse temperature of the objective)",
    "b_dv": "dv_beta",
    "lambda": "retain_weight",
    "gamma": "forget_weight",
    "learning_rate": "lr",
    "ratio": "split (forget01, forget05, ...)",
    "forget": "split (forget01, forget05, ...)",
}
