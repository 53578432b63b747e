"""One run: a point of the grid, checked, and its id, which is the whole truth about it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

from baldro.errors import BaldroError, unknown
from baldro.methods.catalogue import INSTEAD, NO_OBJECTIVE, OBJECTIVES, VARIANTS, Objective
from baldro.methods.values import NAME, write
from baldro.runs.fields import HYPERPARAMETERS, Fields, check, default
from baldro.runs.ids import THEN, steps
from baldro.runs.together import check_together
from baldro.stages import KINDS, STAGE_OF, STAGES, Chosen, Stage


@dataclass(frozen=True, kw_only=True)
class Run(Fields):
    """One point of the grid. A hyperparameter that does not matter to its method is None and not part of its id.

    Make one with `Run.of`, which checks, fills in defaults and drops what does not matter; the plain constructor does neither.
    """

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
        objective = _objective(objective, stage, parent, [name for name, value in values.items() if value is not None])
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
            if not NAME.fullmatch(getattr(run, part)):
                raise BaldroError(
                    "not-for-an-id",
                    f"{part} {getattr(run, part)!r} is not for an id; allowed: letters, digits, . _ -",
                )
        _check_parent(run)
        if (asked := KINDS[objective].asks) and getattr(run, asked) is None:
            raise BaldroError("field-needed", f"{objective} needs a {asked}; allowed: a value of it")
        return run

    @classmethod
    @cache  # a workflow asks for the same run again and again
    def parse(cls, id: str) -> "Run":
        """The run that an id names; the inverse of `id`."""
        if id.count("--") < 3:
            form = "benchmark--model--split--objective[--variant][--field=value ...]"
            raise BaldroError("not-a-run-id", f"{id!r} is not a run id; allowed: {form}")
        benchmark, model, split, *words = id.split("--")
        run = None
        for objective, variant, values in steps(words):
            split = values.pop("split", split) if run else split
            for name in values:
                if name not in HYPERPARAMETERS:
                    raise unknown("field", name, HYPERPARAMETERS)
            names = dict(benchmark=benchmark, model=model, split=split, objective=objective, variant=variant)
            run = cls.of(**names, parent=run, **values)
        if run.id != id:
            raise BaldroError("id-not-canonical", f"{id!r} is not the canonical id of its run; allowed: {run.id!r}")
        return run

    @property
    def id(self) -> str:
        """Readable and canonical: fields at the default of their method are left out, numbers are written one way.

        A child's id is its parent's with a suffix: its objective and variant, its split if that is another one, its fields; or, if it
        does with another request just what its parent did, `then=` and the split, so that a chain of requests stays short.
        """
        if self.repeats():
            return f"{self.parent.id}--{THEN}={self.split}"
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

    def repeats(self) -> bool:
        """Whether it has its parent's objective, variant and hyperparameters."""
        names = ("objective", "variant", *HYPERPARAMETERS)
        return self.parent is not None and all(getattr(self, name) == getattr(self.parent, name) for name in names)

    def line(self) -> "list[Run]":
        """The run and those that it comes from, the first of them last, as far as its id names them."""
        return [self, *(self.parent.line() if self.parent else ())]


@cache
def relevant(stage: str, chosen: Chosen) -> tuple[str, ...]:
    """The hyperparameters that matter to a run, in the order of the fields."""
    names = STAGES[stage].matters(chosen)
    return tuple(name for name in HYPERPARAMETERS if name in names)


def _objective(objective: str | None, stage: str | None, parent: Run | None, given: Sequence[str]) -> str:
    """The kind of run that is meant, checked.

    Args:
        given: names of the hyperparameters that have a value.

    Raises:
        BaldroError: no such objective or stage; one of them is not the other's.
    """
    if stage is not None and stage not in STAGES:
        raise unknown("stage", stage, STAGES)
    if objective is None:
        kinds = STAGES[stage].kinds if stage else {}
        fitting = [name for name, kind in kinds.items() if kind.parent != ("required", "never")[parent is not None]]
        fitting = sorted(
            (name for name in fitting if kinds[name].asks in ("", *given)), key=lambda name: not kinds[name].asks
        )
        if not fitting or STAGES[stage].forgets:
            raise BaldroError(
                "objective-needed",
                f"stage {stage!r} needs an objective; allowed: {', '.join(fitting or KINDS)}",
            )
        return fitting[0]
    if objective not in STAGE_OF:
        if objective in INSTEAD:
            raise BaldroError("ambiguous-name", f"objective {objective!r}: write {INSTEAD[objective]}")
        raise unknown("objective", objective, STAGE_OF)
    if stage not in (None, STAGE_OF[objective]):
        raise BaldroError(
            "objective-of-another-stage",
            f"{objective!r} is of stage {STAGE_OF[objective]}, not {stage}; allowed: one of them",
        )
    return objective


def _check_parent(run: Run) -> None:
    """Whether a run may have the parent that it has.

    Raises:
        BaldroError: otherwise.
    """
    parent, wanted = run.parent, KINDS[run.objective].parent
    if parent is None and wanted != "required":
        return
    if parent is None:
        code, said = (
            "parent-needed",
            f"{run.objective} starts from another run's model; allowed: under `then` of a block",
        )
    elif wanted == "never":
        code, said = (
            "no-parent-possible",
            f"{run.objective} starts from no other row's model; allowed: without a parent",
        )
    elif not parent.facts.trains:
        code, said = "parent-leaves-no-model", f"{parent.id} leaves no model; allowed: a run that trains one"
    elif (parent.benchmark, parent.model) != (run.benchmark, run.model):
        code, said = "parent-of-another-model", f"{parent.id} is not of {run.benchmark}, {run.model}; allowed: the same"
    else:
        return
    raise BaldroError(code, said)


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
