"""The fields of a run: type, default, bounds and text of each. A method or a stage declares its own, which stand with them."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field, make_dataclass
from typing import Any

from baldro.errors import BaldroError, unknown
from baldro.methods.catalogue import COMBINERS, OBJECTIVES, VARIANTS, Combiner, Objective, Variant
from baldro.methods.values import canonical
from baldro.stages import STAGE_OF, STAGES
from baldro.stages import fields as own_fields


def _number(
    default: float | None, *, above: float | None = None, at_least: float | None = None, at_most: float | None = None
):
    return field(
        default=None, metadata=dict(kind=float, default=default, above=above, at_least=at_least, at_most=at_most)
    )


def _integer(default: int | None, *, at_least: int):
    return field(default=None, metadata=dict(kind=int, default=default, at_least=at_least))


def _choice(default: str, *others: str):
    return field(default=None, metadata=dict(kind=str, default=default, choices=(default, *others)))


@dataclass(frozen=True, kw_only=True)
class Common:
    """The fields that are no method's and no stage's own. None: it does not matter to the run."""

    benchmark: str
    """A name in benchmarks.yaml."""
    model: str
    """A name in models.yaml."""
    split: str
    """What is forgotten (forget01, ...), or for finetune and pretrain what is learnt (full, retain99, base, ...)."""
    objective: str
    """An objective of `baldro methods`: how the model unlearns; in others a kind of run that their file names (finetune, original)."""
    variant: str = "base"
    """A variant of `baldro methods`: how the forget batch is weighted."""
    stage: str = field(metadata=dict(default="unlearn"))
    """What is done with the model: a file of baldro/stages."""
    parent: "Fields | None" = field(default=None, metadata=dict(default=None))
    """The run whose model this one starts from, if the id names it; None: it starts from what its stage and its model's entry say."""

    lr: float | None = _number(1e-5, above=0)
    """Peak learning rate of AdamW."""
    epochs: float | None = _number(5, above=0)
    """Passes over the forget split (unlearning) or the training split (pretrain, finetune)."""
    max_steps: int | None = _integer(None, at_least=1)
    """Stop after so many optimiser steps, whatever `epochs` says; the schedule is that of the shorter run."""
    batch_size: int | None = _integer(32, at_least=1)
    """Samples per optimiser step (the effective batch, over all micro-batches and devices)."""
    weight_decay: float | None = _number(0.01, at_least=0)
    """AdamW's decoupled weight decay."""
    warmup_epochs: float | None = _number(1, at_least=0)
    """Linear warm-up, in epochs."""
    schedule: str | None = _choice("linear", "constant", "cosine")
    """Learning rate after the warm-up."""
    clip_norm: float | None = _number(1, at_least=0)
    """Largest L2 norm of the update's gradient; 0 switches clipping off."""
    precision: str | None = _choice("fp32", "bf16", "bf16-only", "bf16-stochastic")
    """bf16: bf16 arithmetic, fp32 master weights. bf16-only: bf16 weights too (the released form). bf16-stochastic: these, updated in fp32
    and rounded up or down by chance, right on average."""
    optimiser: str | None = _choice("adamw", "adamw-8bit")
    """adamw-8bit: AdamW whose moments take 8 bits each (2 bytes a parameter, not 8); needs the package bitsandbytes."""
    forget_weight: float | None = _number(1, at_least=0)
    """gamma, the factor of the forget loss."""
    retain_weight: float | None = _number(1, at_least=0)
    """lambda, the factor of the retain loss."""
    forget_normalisation: str | None = _choice("sample-mean", "token-mean")
    """Forget loss of a mean over tokens: of each sample, or of the batch (released SatImp, WGA, GradDiff); longer answers weigh more."""
    retain_normalisation: str | None = _choice("token-mean", "sample-mean", "token-sum")
    """Retain loss per answer token of the batch, per sample (mean of means), or per sample summed (released DrNPO)."""
    retain_loss: str | None = _choice("cross-entropy", "kl", "activations")
    """Of each answer token; kl: of the reference from the policy; activations: squared distance from the reference's behind rmu_layer."""
    retain_variant: str | None = _choice("base", *(name for name in VARIANTS if name != "base"))
    """How the retain batch is weighted: a variant, its fields with `retain_` before them."""
    combiner: str | None = _choice("sum", *(name for name in COMBINERS if name != "sum"))
    """A combiner of `baldro methods`: how forget and retain gradients become one update."""
    lora_rank: int | None = _integer(None, at_least=1)
    """Train low-rank adapters of this rank on every linear layer but the output head, instead of all weights; none by default."""
    lora_alpha: float | None = _number(32, above=0)
    """The adapters' scale is lora_alpha / lora_rank."""
    lora_dropout: float | None = _number(0, at_least=0, at_most=0.9)
    """Dropout before the adapters, in training."""
    lora_start: str | None = _choice("random", "fila")
    """random: adapters that change nothing yet; fila: taken out of the weights where forgetting matters most (LoKU)."""
    lora_base: str | None = _choice("loaded", "nf4")
    """What stands beside the adapters: loaded: the weights as they are; nf4: in 4 bits (QLoRA), which training then starts from; needs the
    package bitsandbytes."""
    dv_level: str | None = _choice("sample", "token")
    """What is reweighted: samples (paper) or the tokens of the batch (released DrSatImp)."""
    g_rank: str | None = _choice("loss", "likelihood")
    """BalDRO-G ranks by the objective's own loss (paper) or by the mean token log-likelihood (released)."""
    g_retain: str | None = _choice("whole", "cut")
    """cut: the retain batch is cut at random to as many samples as are kept (released)."""
    robust_scope: str | None = _choice("batch", "micro-batch")
    """Where weights and means of either half are taken: the whole effective batch, or each micro-batch by itself (released)."""
    micro_batch_size: int | None = _integer(8, at_least=1)
    """Samples of either half per micro-batch; part of a run only where robust_scope makes it matter, otherwise a matter of memory."""
    seed: int | None = _integer(0, at_least=0)
    """Seed of the order of the samples and of every random draw."""


def _method_field(name: str, spec: Mapping[str, Any]):
    if name in Common.__dataclass_fields__:
        raise BaldroError(
            "field-means-two-things",
            f"a method has a field {name}, which every run has; allowed: another name, with the method's before it",
        )
    return field(default=None, metadata=dict(spec))


Fields = make_dataclass(
    "Fields",
    [(name, Any, _method_field(name, spec)) for name, spec in own_fields().items()],
    bases=(Common,),
    frozen=True,
    kw_only=True,
)
IDENTITY = ("benchmark", "model", "split", "objective", "variant")
LINEAGE = ("stage", "parent")
LAST = ("dv_level", "g_rank", "g_retain", "robust_scope", "micro_batch_size", "seed")
"""Stand at the end of an id, behind the methods' own fields."""
FIELDS = {field.name: field.metadata for field in dataclasses.fields(Fields)}
HYPERPARAMETERS = (*(name for name in FIELDS if name not in (*IDENTITY, *LINEAGE, *LAST)), *LAST)
AXES = (*IDENTITY, "stage", *HYPERPARAMETERS)
"""Fields that a block of the grid may name."""


def default(name: str, objective: str, combiner: str | None = None) -> Any:
    """The value of a field that a run of this objective and combiner has unless told otherwise."""
    usual = COMBINERS[combiner].defaults if combiner else {}
    own = OBJECTIVES[objective].defaults if objective in OBJECTIVES else STAGES[STAGE_OF[objective]].defaults
    return own.get(name, usual.get(name, FIELDS[name]["default"]))


def check(name: str, value: Any) -> Any:
    """A field's value in its one canonical type; numbers may come as strings, since YAML reads 1e-5 as one."""
    return canonical(name, FIELDS[name], value)


def _check_usual(method: Objective | Variant | Combiner) -> None:
    """Whether the fields that a method names and are not its own are there, with values that they allow.

    Raises:
        BaldroError: otherwise.
    """
    where = f"{method.declared.place}: {method.declared.name}"
    for name in (*getattr(method, "also", ()), *getattr(method, "defaults", ())):
        if name not in HYPERPARAMETERS:
            raise unknown("field", name, HYPERPARAMETERS, where=where)
    for name, value in getattr(method, "defaults", {}).items():
        try:
            check(name, value)
        except BaldroError as error:
            raise BaldroError(error.code, f"{where}: {error}") from None


for _method in (*OBJECTIVES.values(), *VARIANTS.values(), *COMBINERS.values()):
    if _method.declared:
        _check_usual(_method)
