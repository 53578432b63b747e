"""The grid: blocks of axes -> runs, without those that a config excludes."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any

from baldro.errors import BaldroError, unknown
from baldro.methods.catalogue import AMBIGUOUS, INSTEAD, OBJECTIVES
from baldro.runs.fields import AXES, IDENTITY, check
from baldro.runs.run import Run
from baldro.stages import STAGES

TABLED = tuple(name for name, facts in STAGES.items() if facts.tabled)
"""Stages that a grid may name: those whose runs are rows of the tables."""
THEN = "then"
"""Key of a grid block: what is done next with the model of each of its runs."""
REQUESTS = "requests"
"""Key of a grid block, in place of `split`: splits that are forgotten one after the other, each from the model of the one before."""


def united(blocks: Any) -> list[Run]:
    """The runs of a grid, which is a block or a list of them, without doubles.

    Raises:
        BaldroError: a block that is none, or an axis of several values that no run has.
    """
    listed = _listed(blocks)
    runs = list(dict.fromkeys(run for block in listed for run in expand(block)))
    _check_axes(listed, runs)
    return runs


def expand(block: Mapping[str, Any], parent: Run | None = None) -> list[Run]:
    """The runs of one grid block, and behind each those that start from its model: every combination, canonical, without doubles.

    Args:
        block: axis -> value or values; under `then` a block or blocks of runs that start from the model of each of these.
        parent: the run that these start from. Its benchmark, model and split are theirs unless the block says otherwise and, where they
            are of its stage, its objective, variant and hyperparameters too.
    """
    block = _chained(block)
    own = {name: value for name, value in block.items() if name != THEN}
    axes = {
        name: value if isinstance(value, list) else [value] for name, value in (_inherited(own, parent) | own).items()
    }
    _check_block(axes)
    found: dict[Run, None] = {}
    for point in product(*axes.values()):
        run = Run.of(**dict(zip(axes, point, strict=True)), parent=parent)
        found.setdefault(run)
        for more in _listed(block.get(THEN)):
            found |= dict.fromkeys(expand(more, run))
    return list(found)


def _inherited(own: Mapping[str, Any], parent: Run | None) -> dict[str, Any]:
    """What a block under `then` takes from the run before it."""
    if parent is None:
        return {}
    names = {name: getattr(parent, name) for name in ("benchmark", "model", "split")}
    if any(own.get(name, getattr(parent, name)) != getattr(parent, name) for name in ("stage", "objective")):
        return names
    method = (
        {"objective": parent.objective, "variant": parent.variant} if parent.facts.forgets else {"stage": parent.stage}
    )
    return names | method | parent.settings()


def _chained(block: Mapping[str, Any]) -> Mapping[str, Any]:
    """A block whose requests are written out: the first is its split, and the others follow under `then`, each with what its own has.

    Raises:
        BaldroError: no request, or a split beside them.
    """
    if REQUESTS not in block:
        return block
    if "split" in block or not block[REQUESTS]:
        raise BaldroError(
            "not-one-of", f"grid: {REQUESTS} is {block[REQUESTS]}; allowed: split, or a list of splits under {REQUESTS}"
        )
    first, *others = block[REQUESTS]
    after = _listed(block.get(THEN))
    following = [{REQUESTS: others, THEN: after}] if others else []
    own = {name: value for name, value in block.items() if name not in (REQUESTS, THEN)}
    return {**own, "split": first, THEN: [*following, *after]}


def _listed(blocks: Any) -> list[Mapping[str, Any]]:
    return blocks if isinstance(blocks, list) else [] if blocks is None else [blocks]


def _check_block(axes: Mapping[str, Sequence[Any]]) -> None:
    """Whether a block's axes are axes, and all that every run needs."""
    for name, values in axes.items():
        if name in AMBIGUOUS:
            raise BaldroError("ambiguous-name", f"{name!r} is not an axis of the grid; write {AMBIGUOUS[name]}")
        if name not in AXES:
            raise unknown("axis", name, AXES)
        if not values:
            raise BaldroError("empty-list", f"the axis {name} is empty; allowed: at least one value")
    for stage in axes.get("stage", []):
        if stage not in TABLED:
            raise unknown("stage", stage, TABLED, where="grid")
    for objective in axes.get("objective", []):
        if objective not in (*OBJECTIVES, *INSTEAD):
            raise unknown("objective", objective, OBJECTIVES, where="grid")
    needed = [name for name in IDENTITY[:-1] if name != "objective" or "stage" not in axes]
    missing = [name for name in needed if name not in axes]
    if missing:
        raise BaldroError("missing-key", f"the grid lacks the axis {missing[0]}; allowed: {', '.join(needed)}")


def without(runs: Sequence[Run], exclude: Iterable[Mapping[str, Any]]) -> list[Run]:
    """The runs that no entry of `exclude` means: those that have one of its values in each of its fields, and what starts from them."""
    kept = list(runs)
    for rule in (_exclusion(rule, runs) for rule in exclude):
        meant = {run for run in runs if all(getattr(run, name) in values for name, values in rule.items())}
        if not meant:
            told = ", ".join(f"{name!r} {' or '.join(map(str, values))}" for name, values in rule.items())
            raise BaldroError("excludes-nothing", f"exclude: no run has {told}; allowed: values that a run has")
        kept = [run for run in kept if meant.isdisjoint(run.line())]
    if not kept:
        raise BaldroError("excludes-all", "exclude: every run is excluded; allowed: at least one run")
    return kept


def _check_axes(blocks: Sequence[Mapping[str, Any]], runs: Sequence[Run]) -> None:
    """Several values of a field that no run of the grid has would make one run of what was meant as several."""
    blocks = [block for each in blocks for block in _nested(each)]
    for name in dict.fromkeys(name for block in blocks for name in block):
        several = any(isinstance(block.get(name), list) and len(block[name]) > 1 for block in blocks)
        if several and all(getattr(run, name) is None for run in runs):
            raise BaldroError(
                "axis-without-effect",
                f"the axis {name!r} matters to no run; allowed: with a method that has it (`baldro methods`), or one value",
            )


def _nested(block: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """A block and those under its `then`, each without that key."""
    block = _chained(block)
    own = {name: value for name, value in block.items() if name != THEN}
    return [own, *(each for more in _listed(block.get(THEN)) for each in _nested(more))]


def _exclusion(rule: Mapping[str, Any], runs: Sequence[Run]) -> dict[str, list[Any]]:
    result = {}
    for name, value in rule.items():
        if name not in AXES:
            raise unknown("field", name, AXES, where="exclude")
        result[name] = list(value) if isinstance(value, list) else [value]
        if name not in (*IDENTITY, "stage"):
            result[name] = [check(name, one) for one in result[name]]
            continue
        there = {getattr(run, name) for run in runs}
        for one in result[name]:
            if one not in there:
                raise unknown(name, one, there, where="exclude")
    return result
