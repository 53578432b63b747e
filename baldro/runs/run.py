"""One run: its fields, which of them matter, and its id, which is the whole truth about it."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, make_dataclass
from functools import cache
from typing import Any

from baldro.errors import BaldroError, unknown
from baldro.methods.catalogue import (
    COMBINERS,
    INSTEAD,
    NO_OBJECTIVE,
    OBJECTIVES,
    VARIANTS,
    Combiner,
    Objective,
    Variant,
)
from baldro.methods.values import canonical, write
from baldro.runs.together import check_together
from baldro.stages import KINDS, STAGE_OF, STAGES, Chosen, Stage
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
class _Run:
    """One point of the grid. A hyperparameter that does not matter to its method is None and not part of its id.

    Make one with `Run.of`, which checks, fills in defaults and drops what does not matter; the plain constructor does neither.
    The fields of the methods themselves stand with them, in their modules.
    """

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
    parent: "Run | None" = field(default=None, metadata=dict(default=None))
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
    precision: str | None = _choice("fp32", "bf16", "bf16-only")
    """bf16: bf16 arithmetic, fp32 master weights. bf16-only: bf16 weights too (the released form)."""
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

    @classmethod
    def of(
        cls,
        *,
        benchmark: str,
        model: str,
        split: str,
        objective: str | None = None,
        variant: str | None = None,
        stage: str | None = None,
        parent: "Run | str | None" = None,
        **values: Any,
    ) -> "Run":
        """The canonical run: checked, with defaults, without the fields that do not matter to its method.

        Args:
            objective, stage: one says the other, but for the objective of a stage that has several.
            parent: a run of the same benchmark and model, or its id.
            values: hyperparameters.
        """
        parent = cls.parse(parent) if isinstance(parent, str) else parent
        objective = _objective(objective, stage, parent)
        for name in values:
            if name not in HYPERPARAMETERS:
                raise unknown("field", name, HYPERPARAMETERS)
        checked = {name: check(name, value) for name, value in values.items() if value is not None}
        if variant is not None and variant not in VARIANTS:
            raise unknown("variant", variant, VARIANTS)
        stage = STAGE_OF[objective]
        variant = variant if variant and STAGES[stage].forgets else "base"
        settled = _settle(stage, objective, variant, checked)
        identity = dict(benchmark=benchmark, model=model, split=split, objective=objective, variant=variant)
        run = cls(**identity, stage=stage, parent=parent, **settled)
        for part in ("benchmark", "model", "split"):
            if not _NAME.fullmatch(getattr(run, part)):
                raise BaldroError(
                    f"{part} {getattr(run, part)!r} cannot be part of a run id; allowed: letters, digits, and . _ - inside"
                )
        _check_parent(run)
        return run

    @classmethod
    @cache  # a workflow asks for the same run again and again
    def parse(cls, id: str) -> "Run":
        """The run that an id names; the inverse of `id`."""
        if id.count("--") < 3:
            raise BaldroError(
                f"{id!r} is not a run id; allowed: benchmark--model--split--objective[--variant][--field=value ...]"
            )
        benchmark, model, split, *words = id.split("--")
        run = None
        for objective, variant, values in _steps(words):
            split = values.pop("split", split) if run else split
            for name in values:
                if name not in HYPERPARAMETERS:
                    raise unknown("field", name, HYPERPARAMETERS)
            names = dict(benchmark=benchmark, model=model, split=split, objective=objective, variant=variant)
            run = cls.of(**names, parent=run, **values)
        if run.id != id:
            raise BaldroError(f"{id!r} is not the canonical id of its run; allowed: {run.id!r}")
        return run

    @property
    def id(self) -> str:
        """Readable and canonical: fields at the default of their method are left out, numbers are written one way.

        A child's id is its parent's with a suffix: its objective and variant, its split if that is another one, its fields.
        """
        parts = [self.parent.id] if self.parent else [self.benchmark, self.model, self.split]
        parts.append(self.objective)
        if self.variant != "base":
            parts.append(self.variant)
        if self.parent and self.split != self.parent.split:
            parts.append(f"split={self.split}")
        return "--".join([*parts, *(f"{name}={write(value)}" for name, value in self.settings().items())])

    @property
    def facts(self) -> Stage:
        """What its stage says of itself."""
        return STAGES[self.stage]

    @property
    def method(self) -> Objective:
        """What its objective says of itself; of a run that forgets nothing, NO_OBJECTIVE."""
        return OBJECTIVES.get(self.objective, NO_OBJECTIVE)

    def asdict(self) -> dict[str, Any]:
        """Every field, None where it does not matter; the parent by its id."""
        return {f.name: getattr(self, f.name) for f in fields(self)} | {"parent": self.parent and self.parent.id}

    def hyperparameters(self) -> dict[str, Any]:
        """The fields that matter to this run, in order."""
        return {name: getattr(self, name) for name in HYPERPARAMETERS if getattr(self, name) is not None}

    def settings(self) -> dict[str, Any]:
        """Those of them that are not at the default of its method."""
        told = self.hyperparameters().items()
        return {name: value for name, value in told if value != default(name, self.objective, self.combiner)}

    def line(self) -> "list[Run]":
        """The run and those that it comes from, the first of them last, as far as its id names them."""
        return [self, *(self.parent.line() if self.parent else ())]


def shape(stages: Iterable[str], *, parent: bool | None = None) -> str:
    """A regular expression of the ids of runs of some stages, and of no other ids.

    Args:
        parent: whether they have one; None: either.
    """
    word, variants = r"(?:(?!--)[^/])+", "|".join(VARIANTS)

    def step(kinds: Iterable[str]) -> str:
        return rf"(?:--(?:{'|'.join(kinds)})(?:--(?:{variants}))?(?:--\w+={word})*)"

    before = {None: f"{step(KINDS)}*", True: f"{step(KINDS)}+", False: ""}[parent]
    return rf"{word}--{word}--{word}{before}{step(kind for stage in stages for kind in STAGES[stage].kinds)}"


def _method_field(name: str, spec: Mapping[str, Any]):
    if name in _Run.__dataclass_fields__:
        raise BaldroError(
            f"a method has a field {name}, which every run has; allowed: another name, with the method's before it"
        )
    return field(default=None, metadata=dict(spec))


Run = make_dataclass(
    "Run",
    [(name, Any, _method_field(name, spec)) for name, spec in own_fields().items()],
    bases=(_Run,),
    frozen=True,
    kw_only=True,
    namespace={"__doc__": _Run.__doc__},
)
Run.__module__ = __name__  # or it could not be pickled

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._]|-(?!-))*(?<!-)")
IDENTITY = ("benchmark", "model", "split", "objective", "variant")
LINEAGE = ("stage", "parent")
LAST = ("dv_level", "g_rank", "g_retain", "robust_scope", "micro_batch_size", "seed")
"""Stand at the end of an id, behind the methods' own fields."""
FIELDS = {f.name: f.metadata for f in fields(Run)}
HYPERPARAMETERS = (*(name for name in FIELDS if name not in (*IDENTITY, *LINEAGE, *LAST)), *LAST)
AXES = (*IDENTITY, "stage", *HYPERPARAMETERS)
"""Fields that a block of the grid may name."""


def default(name: str, objective: str, combiner: str | None = None) -> Any:
    """The value of a field that a run of this objective and combiner has unless told otherwise."""
    usual = COMBINERS[combiner].defaults if combiner else {}
    own = OBJECTIVES[objective].defaults if objective in OBJECTIVES else STAGES[STAGE_OF[objective]].defaults
    return own.get(name, usual.get(name, FIELDS[name]["default"]))


def _check_usual(method: Objective | Variant | Combiner) -> None:
    """What a method says of fields that are not its own must be there and allowed.

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
            raise BaldroError(f"{where}: {error}") from None


@cache
def relevant(stage: str, chosen: Chosen) -> tuple[str, ...]:
    """The hyperparameters that matter to a run, in the order of the fields."""
    names = STAGES[stage].matters(chosen)
    return tuple(name for name in HYPERPARAMETERS if name in names)


def check(name: str, value: Any) -> Any:
    """A field's value in its one canonical type; numbers may come as strings, since YAML reads 1e-5 as one."""
    return canonical(name, FIELDS[name], value)


def _objective(objective: str | None, stage: str | None, parent: Run | None) -> str:
    """The kind of run that is meant, checked.

    Raises:
        BaldroError: no such objective or stage; one of them is not the other's.
    """
    if stage is not None and stage not in STAGES:
        raise unknown("stage", stage, STAGES)
    if objective is None:
        kinds = STAGES[stage].kinds if stage else {}
        fitting = [name for name, kind in kinds.items() if kind.parent != ("required", "never")[parent is not None]]
        if not fitting or STAGES[stage].forgets:
            raise BaldroError(f"a run of stage {stage!r} needs an objective; allowed: {', '.join(fitting or KINDS)}")
        return fitting[0]
    if objective not in STAGE_OF:
        if objective in INSTEAD:
            raise BaldroError(f"objective {objective!r}: write {INSTEAD[objective]}")
        raise unknown("objective", objective, STAGE_OF)
    if stage not in (None, STAGE_OF[objective]):
        raise BaldroError(
            f"objective {objective!r} is of stage {STAGE_OF[objective]}, not {stage}; allowed: one of them"
        )
    return objective


def _steps(words: list[str]) -> list[tuple[str, str | None, dict[str, str]]]:
    """What stands behind benchmark, model and split: objective, variant and fields of a run, of its child, of its child's child, ..."""
    steps: list[tuple[str, str | None, dict[str, str]]] = []
    for place, word in enumerate(words):
        if place and "=" in word:
            name, _, value = word.partition("=")
            steps[-1][2][name] = value
        elif place and steps[-1][1:] == (None, {}) and word not in STAGE_OF:
            steps[-1] = (steps[-1][0], word, {})
        else:
            steps.append((word, None, {}))
    return steps


def _check_parent(run: Run) -> None:
    """Whether a run may have the parent that it has.

    Raises:
        BaldroError: otherwise.
    """
    parent, wanted = run.parent, KINDS[run.objective].parent
    if parent is None:
        if wanted == "required":
            raise BaldroError(
                f"{run.objective} starts from another run's model; allowed: in the grid, under `then` of a block"
            )
        return
    if wanted == "never":
        raise BaldroError(f"{run.objective} starts from no other row's model; allowed: without a parent")
    if not parent.facts.trains:
        raise BaldroError(f"{parent.id} leaves no model to start from; allowed: a run that trains one")
    if (parent.benchmark, parent.model) != (run.benchmark, run.model):
        raise BaldroError(
            f"{parent.id} is of another benchmark or model than {run.benchmark}, {run.model}; allowed: the same"
        )


def _settle(stage: str, objective: str, variant: str, values: Mapping[str, Any]) -> dict[str, Any]:
    combiner = values.get("combiner", default("combiner", objective))

    def value(name: str) -> Any:
        return values.get(name, default(name, objective, combiner))

    chosen = Chosen(
        objective=objective,
        variant=variant,
        robust_scope=value("robust_scope"),
        dv_level=value("dv_level"),
        combiner=combiner,
        retain_variant=value("retain_variant"),
        lora=value("lora_rank") is not None,
    )
    settled = {name: value(name) for name in relevant(stage, chosen)}
    check_together(objective, settled)
    return settled


for _method in (*OBJECTIVES.values(), *VARIANTS.values(), *COMBINERS.values()):
    if _method.declared:
        _check_usual(_method)
