"""What fits on a card: the settings with which a model's runs do, the first of them a suggestion.

First what changes no number: a run as it is configured, in smaller passes, with activations computed again, on more cards. Then what makes
another run of it: the optimiser's moments in 8 bits, weights in bf16, adapters alone.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from baldro.errors import BaldroError
from baldro.plan import memory
from baldro.plan.gpus import GPU
from baldro.plan.memory import Memory
from baldro.plan.sizes import Unknown
from baldro.runs import Experiment, Needs, Run
from baldro.runs.agreement import check_sharding

RANK = 32
"""Rank of the adapters that are proposed, as in experiments/cross-model.yaml."""
CHANGES: tuple[Mapping[str, Any], ...] = (
    {},
    {"optimiser": "adamw-8bit"},
    {"precision": "bf16-stochastic"},
    {"precision": "bf16-stochastic", "optimiser": "adamw-8bit"},
    {"precision": "bf16-only"},
    {"lora_rank": RANK, "precision": "bf16-stochastic"},
    {"lora_rank": RANK, "lora_base": "nf4"},
)
"""Fields that make another run, those that change least first."""
LEAST_TOKENS = 1024
"""Padded tokens of a scoring pass below which none is proposed."""


class Group(NamedTuple):
    """Runs that one setting is sought for."""

    model: str
    stage: str
    precision: str
    lora_rank: int | None

    @classmethod
    def of(cls, run: Run) -> "Group":
        """The group of a run that trains."""
        return cls(run.model, run.stage, run.precision, run.lora_rank)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A way to carry out a group's runs."""

    needs: Mapping[str, Any]
    """Entries of the model's needs that differ from the configured ones."""
    fields: Mapping[str, Any]
    """Fields of the runs that do."""
    memory: Memory
    """Of the run that needs most."""
    fits: bool


def find(
    experiment: Experiment, runs: Iterable[Run], gpu: GPU, *, cards: int | None
) -> dict[Group, list[Setting] | Unknown]:
    """Settings of each group of runs, or what is lacking to find them.

    Args:
        runs: those that train.
        cards: most that a job may use on a node; None: as many as the model's needs say.
    """
    groups: dict[Group, list[Run]] = {}
    for run in runs:
        groups.setdefault(Group.of(run), []).append(run)
    found: dict[Group, list[Setting] | Unknown] = {}
    for group, members in groups.items():
        try:
            found[group] = settings(experiment, members, gpu, cards=cards)
        except Unknown as error:
            found[group] = error
    return found


def chosen(found: Mapping[Group, list[Setting] | Unknown]) -> dict[Group, Setting]:
    """The first of each group that fits; of those that differ about their model's needs, the one with more in memory is the last."""
    known = {group: suggested(each) for group, each in found.items() if not isinstance(each, Unknown)}
    fitting = [(group, setting) for group, setting in known.items() if setting]
    return dict(sorted(fitting, key=lambda each: each[1].memory.training))


def settings(experiment: Experiment, runs: Sequence[Run], gpu: GPU, *, cards: int | None) -> list[Setting]:
    """The runs as they are configured, and if they do not fit what would be the least to be done.

    That is, of each change and number of cards the largest passes that fit, or the smallest if none does; up to the number that does.

    Args:
        runs: a group.
        cards: as in `find`.

    Raises:
        Unknown: a size that the definitions lack.
    """
    run, asked = _heaviest(experiment, runs), max(1, experiment.needs(runs[0].model).gpu)
    most, held = cards or asked, memory.of(experiment, run)
    found = [Setting(needs={}, fields={}, memory=held, fits=held.most <= gpu.memory and asked <= most)]
    if found[0].fits:
        return found
    seen: set[Run] = set()
    for fields in CHANGES:
        try:
            other = with_fields(run, fields)
        except BaldroError:  # its method cannot have them
            continue
        if other in seen or (fields and memory.of(experiment, other).training >= held.training):
            continue
        seen.add(other)
        for number in _numbers(asked, most):
            try:
                setting = _lightest(experiment, other, _new(run, fields), gpu, number)
            except BaldroError:  # it cannot be split
                continue
            found += [setting] if setting.fields or setting.needs.keys() - {"mem_mb"} else []
            if setting.fits:
                break
    return found


def suggested(found: Sequence[Setting]) -> Setting | None:
    """The first that fits."""
    return next((setting for setting in found if setting.fits), None)


def applied(experiment: Experiment, chosen: Mapping[Group, Setting]) -> Experiment:
    """The experiment as it would be with a setting for each group."""
    for group, setting in chosen.items():
        experiment = with_needs(experiment, group.model, setting.needs)
        entry = experiment.models[group.model]
        if setting.fields and group.stage in entry:
            entry = {**entry, group.stage: {**entry[group.stage], **setting.fields}}
            experiment = replace(experiment, models={**experiment.models, group.model: entry})

    def changed(run: Run) -> Run:
        setting = chosen.get(Group.of(run))
        parent = run.parent and changed(run.parent)
        fields = setting.fields if setting else {}
        return with_fields(run, fields, parent=parent) if fields or parent != run.parent else run

    return replace(experiment, runs=tuple(map(changed, experiment.runs)))


def with_needs(experiment: Experiment, model: str, needs: Mapping[str, Any]) -> Experiment:
    """The experiment with other needs of a model."""
    entry = experiment.models[model]
    changed = {**entry, "needs": {**(entry.get("needs") or {}), **needs}}
    return replace(experiment, models={**experiment.models, model: changed})


def with_fields(run: Run, fields: Mapping[str, Any], *, parent: Run | None = None) -> Run:
    """The same run with other values of some fields; adapters that it has keep their rank.

    Raises:
        BaldroError: it cannot have them.
    """
    names = {name: getattr(run, name) for name in ("benchmark", "model", "split", "objective", "variant")}
    return Run.of(**names, parent=parent or run.parent, **{**run.hyperparameters(), **_new(run, fields)})


def _new(run: Run, fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name != "lora_rank" or not run.lora_rank}


def _heaviest(experiment: Experiment, runs: Sequence[Run]) -> Run:
    """The run that needs most memory in training."""
    facts = ("benchmark", "split", "objective", "batch_size", "combiner", "optimiser", "lora_start", "lora_base")
    facts += ("rmu_weights", "rmu_layer")
    alike = {tuple(getattr(run, name) for name in facts): run for run in runs}
    return max(alike.values(), key=lambda run: memory.of(experiment, run).training)


def _numbers(asked: int, most: int) -> Iterator[int]:
    """Numbers of cards to try: the configured one and its doubles, up to all that there are."""
    number = min(asked, most)
    while number < most:
        yield number
        number *= 2
    yield most


def _lightest(experiment: Experiment, run: Run, fields: Mapping[str, Any], gpu: GPU, cards: int) -> Setting:
    """Passes as they are configured, or as large as fit; activations that are computed again only if nothing else helps.

    The node's memory is raised where that needs it.

    Raises:
        BaldroError: the run cannot be split over so many cards.
    """
    needs = experiment.needs(run.model)
    if cards * needs.nodes > 1:
        check_sharding(run, devices=cards * needs.nodes)

    def held(changes: Mapping[str, Any]) -> Memory:
        return memory.of(with_needs(experiment, run.model, changes), run)

    training = _first(
        (
            dict(gpu=cards, shard=cards * needs.nodes > 1, micro_batch=size, gradient_checkpointing=again)
            for again in dict.fromkeys((needs.gradient_checkpointing, True))
            for size in _halves(needs.micro_batch, 1)
        ),
        lambda changes: held(changes).training <= gpu.memory,
    )
    both = _first(
        ({**training, "batch_tokens": tokens} for tokens in _halves(needs.batch_tokens, LEAST_TOKENS)),
        lambda changes: held(changes).scoring <= gpu.memory,
    )
    found, changed = held(both), with_needs(experiment, run.model, both)
    both["mem_mb"] = max(needs.mem_mb, 1000 * math.ceil(memory.node_bytes(changed, run) / 1e9))
    return Setting(needs=_different(needs, both), fields=fields, memory=found, fits=found.most <= gpu.memory)


def _first(ways: Iterable[dict[str, Any]], enough: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The first that is enough, or the last."""
    way: dict[str, Any] = {}
    for way in ways:
        if enough(way):
            break
    return way


def _halves(value: int, least: int) -> Iterator[int]:
    """A number and its halves, down to a least one."""
    yield value
    while value > least:
        value = max(least, value // 2)
        yield value


def _different(needs: Needs, changes: Mapping[str, Any]) -> dict[str, Any]:
    """What is not as it is configured."""
    return {name: value for name, value in changes.items() if value != getattr(needs, name)}
