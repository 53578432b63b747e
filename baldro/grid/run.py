"""One run: its fields, which of them matter, and its id, which is the whole truth about it."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from typing import Any

from baldro.errors import BaldroError, unknown
from baldro.grid.methods import OBJECTIVES, RETAINING, TRAINING, VARIANTS


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
class Run:
    """One point of the grid. A hyperparameter that does not matter to its method is None and not part of its id.

    Make one with `Run.of`, which checks, fills in defaults and drops what does not matter; the plain constructor does neither.
    """

    benchmark: str
    """A name in benchmarks.yaml."""
    model: str
    """A name in models.yaml."""
    split: str
    """What is forgotten (forget01, ...), or for finetune and pretrain what is learnt (full, retain99, base, ...)."""
    objective: str
    """A key of OBJECTIVES: how the model is trained, or `original` and `retain`, the two models it is compared with."""
    variant: str = "base"
    """A key of VARIANTS: how the forget batch is weighted."""

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
    precision: str | None = _choice("fp32", "bf16", "bf16-only")
    """bf16: bf16 arithmetic, fp32 master weights. bf16-only: bf16 weights too (the released form)."""
    forget_weight: float | None = _number(1, at_least=0)
    """gamma, the factor of the forget loss."""
    retain_weight: float | None = _number(1, at_least=0)
    """lambda, the factor of the retain loss."""
    retain_normalisation: str | None = _choice("token-mean", "sample-mean", "token-sum")
    """Cross-entropy per answer token of the batch, per sample (mean of means), or per sample summed (released DrNPO)."""
    npo_beta: float | None = _number(0.1, above=0)
    """NPO's inverse temperature."""
    simnpo_beta: float | None = _number(4.5, above=0)
    """SimNPO's inverse temperature."""
    simnpo_delta: float | None = _number(0)
    """SimNPO's reward margin, in nats per token."""
    satimp_beta1: float | None = _number(5, at_least=0)
    """SatImp's exponent of p (saturation)."""
    satimp_beta2: float | None = _number(1, at_least=0)
    """SatImp's exponent of 1 - p (importance)."""
    dv_beta: float | None = _number(2, above=0)
    """BalDRO-DV's temperature, in units of the forget loss: small = the hardest sample alone, large = the plain mean."""
    dv_direction: str | None = _choice("hard", "easy")
    """hard: high losses weigh more (paper, Eq. 12). easy: the released code's opposite sign, a soft minimum."""
    dv_level: str | None = _choice("sample", "token")
    """What is reweighted: samples (paper) or the tokens of the batch (released DrSatImp)."""
    g_fraction: float | None = _number(0.5, above=0, at_most=1)
    """BalDRO-G keeps this share of the batch, the hardest samples."""
    g_rank: str | None = _choice("loss", "likelihood")
    """BalDRO-G ranks by the objective's own loss (paper) or by the mean token log-likelihood (released)."""
    g_retain: str | None = _choice("whole", "cut")
    """cut: the retain batch is cut at random to as many samples as are kept (released)."""
    robust_scope: str | None = _choice("batch", "micro-batch")
    """Where weights are taken: the whole effective batch, or each micro-batch by itself (released)."""
    micro_batch_size: int | None = _integer(8, at_least=1)
    """Samples per micro-batch; part of a run only where robust_scope makes it matter, otherwise a matter of memory."""
    seed: int | None = _integer(0, at_least=0)
    """Seed of the order of the samples and of every random draw."""

    @classmethod
    def of(
        cls, *, benchmark: str, model: str, split: str, objective: str, variant: str | None = None, **values: Any
    ) -> "Run":
        """The canonical run: checked, with defaults, without the fields that do not matter to its method."""
        if objective not in OBJECTIVES:
            raise unknown("objective", objective, OBJECTIVES)
        for name in values:
            if name not in HYPERPARAMETERS:
                raise unknown("field", name, HYPERPARAMETERS)
        checked = {name: check(name, value) for name, value in values.items() if value is not None}
        if variant is not None and variant not in VARIANTS:
            raise unknown("variant", variant, VARIANTS)
        variant = variant if variant and OBJECTIVES[objective].unlearns else "base"
        settled = _settle(objective, variant, checked)
        run = cls(benchmark=benchmark, model=model, split=split, objective=objective, variant=variant, **settled)
        for part in ("benchmark", "model", "split"):
            if not _NAME.fullmatch(getattr(run, part)):
                raise BaldroError(
                    f"{part} {getattr(run, part)!r} cannot be part of a run id; allowed: letters, digits, and . _ - inside"
                )
        return run

    @classmethod
    @cache  # a workflow asks for the same run again and again
    def parse(cls, id: str) -> "Run":
        """The run that an id names; the inverse of `id`."""
        parts = id.split("--")
        if len(parts) < 4:
            raise BaldroError(
                f"{id!r} is not a run id; allowed: benchmark--model--split--objective[--variant][--field=value ...]"
            )
        benchmark, model, split, objective, *rest = parts
        variant = rest.pop(0) if rest and "=" not in rest[0] else None
        pairs = [part.partition("=")[::2] for part in rest]
        run = cls.of(benchmark=benchmark, model=model, split=split, objective=objective, variant=variant, **dict(pairs))
        if run.id != id:
            raise BaldroError(f"{id!r} is not the canonical id of its run; allowed: {run.id!r}")
        return run

    @property
    def id(self) -> str:
        """Readable and canonical: fields at the default of their method are left out, numbers are written one way."""
        parts = [self.benchmark, self.model, self.split, self.objective]
        if self.variant != "base":
            parts.append(self.variant)
        for name, value in self.hyperparameters().items():
            if value != default(name, self.objective):
                parts.append(f"{name}={write(value)}")
        return "--".join(parts)

    def asdict(self) -> dict[str, Any]:
        """Every field, None where it does not matter."""
        return asdict(self)

    def hyperparameters(self) -> dict[str, Any]:
        """The fields that matter to this run, in order."""
        return {name: getattr(self, name) for name in HYPERPARAMETERS if getattr(self, name) is not None}


_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._]|-(?!-))*(?<!-)")
IDENTITY = ("benchmark", "model", "split", "objective", "variant")
FIELDS = {f.name: f.metadata for f in fields(Run)}
HYPERPARAMETERS = tuple(name for name in FIELDS if name not in IDENTITY)


def default(name: str, objective: str) -> Any:
    """The value of a field that a run of this objective has unless told otherwise."""
    return OBJECTIVES[objective].defaults.get(name, FIELDS[name]["default"])


@cache
def relevant(objective: str, variant: str, scope: str | None) -> tuple[str, ...]:
    """The hyperparameters that matter to a method, in the order of the fields; `scope` is robust_scope, None where it is left out."""
    method = OBJECTIVES[objective]
    names = set(method.fields)
    if method.trains:
        names |= set(TRAINING)
    if method.retains:
        names |= set(RETAINING)
    if method.unlearns:
        names |= set(VARIANTS[variant])
    if not method.retains:
        names.discard("g_retain")
    if "robust_scope" in names and scope == "micro-batch":
        names.add("micro_batch_size")
    return tuple(name for name in HYPERPARAMETERS if name in names)


def check(name: str, value: Any) -> Any:
    """A field's value in its one canonical type; numbers may come as strings, since YAML reads 1e-5 as one."""
    spec = FIELDS[name]
    if "choices" in spec:
        if value not in spec["choices"]:
            raise unknown(name, value, spec["choices"])
        return value
    try:
        if isinstance(value, bool):
            raise ValueError
        number = float(value)
    except (TypeError, ValueError):
        raise BaldroError(f"{name} is {value!r}; allowed: {_bounds(spec)}") from None
    low, above, high = spec.get("at_least"), spec.get("above"), spec.get("at_most")
    outside = (
        (low is not None and number < low)
        or (above is not None and number <= above)
        or (high is not None and number > high)
    )
    if outside or number != number or abs(number) == float("inf") or (spec["kind"] is int and number != int(number)):
        raise BaldroError(f"{name} is {value!r}; allowed: {_bounds(spec)}")
    whole = spec["kind"] is int or (number.is_integer() and abs(number) < 1e15)
    return int(number) if whole else number


def write(value: Any) -> str:
    """The one way a value stands in an id: shortest digits that give the same number back."""
    return repr(value) if isinstance(value, (int, float)) else str(value)


def _bounds(spec: Mapping[str, Any]) -> str:
    words = "a whole number" if spec["kind"] is int else "a number"
    limits = [("above", "above"), ("at_least", "of at least"), ("at_most", "of at most")]
    return " ".join(
        [words, " and ".join(f"{word} {spec[key]:g}" for key, word in limits if spec.get(key) is not None)]
    ).strip()


def _settle(objective: str, variant: str, values: Mapping[str, Any]) -> dict[str, Any]:
    names = relevant(objective, variant, values.get("robust_scope"))
    settled = {name: values.get(name, default(name, objective)) for name in names}
    if settled.get("dv_level") == "token" and not OBJECTIVES[objective].tokens:
        able = ", ".join(name for name, method in OBJECTIVES.items() if method.tokens)
        raise BaldroError(f"dv_level token: the loss of {objective} is not a mean over tokens; allowed: {able}")
    return settled
