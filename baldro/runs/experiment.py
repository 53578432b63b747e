"""The experiment: the runs of a config, and what each of them builds on."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from baldro.benchmarks import Definition, define, module_of
from baldro.durable.contents import model_files
from baldro.errors import BaldroError, unknown
from baldro.methods.catalogue import AMBIGUOUS, INSTEAD, OBJECTIVES
from baldro.places import described, find
from baldro.runs.agreement import agree, check_names, has_retain
from baldro.runs.crossings import crossings
from baldro.runs.needs import Needs
from baldro.runs.run import AXES, IDENTITY, Run, check
from baldro.stages import STAGES, Origin

THEN = "then"
"""Key of a grid block: what is done next with the model of each of its runs."""


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A checked config: its runs, and the definitions of the names in them."""

    name: str
    description: str
    """A sentence for the report, perhaps empty."""
    runs: tuple[Run, ...]
    """Table rows: for each benchmark, model and split `original` and `retain` first, then the runs of the grid."""
    models: Mapping[str, Mapping[str, Any]]
    benchmarks: Mapping[str, Mapping[str, Any]]
    selection: Mapping[str, Any]
    attribution: Mapping[str, Any] | None = None
    """The crossed factors whose effects the report tells, and on which metrics."""

    def definition(self, benchmark: str) -> Definition:
        """A benchmark as its kind has it."""
        return define(self.benchmarks[benchmark], what=f"benchmark {benchmark!r}")

    def kind_module(self, benchmark: str) -> str:
        """The module of a benchmark's kind, which makes its rows and says what is asked of a model."""
        return module_of(self.benchmarks[benchmark]["kind"])

    def retain_split(self, run: Run) -> str:
        """The counterpart of a forget split: forget10 -> retain90."""
        return self.benchmarks[run.benchmark]["forget"][run.split]

    def holdout_split(self, run: Run) -> str | None:
        """The rows that no model saw, for membership attacks on a run's forget split; None: its benchmark names none."""
        return self.definition(run.benchmark).held_out(run.split)

    def original(self, run: Run) -> Run:
        """The row of the model before any unlearning."""
        return Run.of(benchmark=run.benchmark, model=run.model, split=run.split, objective="original")

    def retain(self, run: Run) -> Run:
        """The row of the model that never saw the forget split."""
        return Run.of(benchmark=run.benchmark, model=run.model, split=run.split, objective="retain")

    def has_retain(self, run: Run) -> bool:
        """Whether there is such a model: of some kinds of benchmark no metric needs it, and a published target may lack it."""
        return has_retain(run, self.models[run.model], self.definition(run.benchmark))

    def before(self, run: Run) -> Run:
        """The model that a run starts from, scored on the run's split: it names the reference log-probabilities."""
        if run.parent is None:
            return self.original(run)
        names = dict(benchmark=run.benchmark, model=run.model, split=run.split)
        return Run.of(**names, stage="none", parent=run.parent)

    def start(self, run: Run) -> Run | None:
        """The run whose model this one starts from (or is, in stage none); None: from outside (models.yaml)."""
        if run.parent:
            return run.parent
        origin = self._origin(run)
        if origin.stage is None:
            return None
        settings = self.models[run.model].get(origin.stage, {})
        return Run.of(benchmark=run.benchmark, model=run.model, split=origin.split, stage=origin.stage, **settings)

    def part(self, run: Run) -> str:
        """Which of its model's places a run starts from when no other run makes that model: build, base, target, retain90, ..."""
        return self._origin(run).part

    def _origin(self, run: Run) -> Origin:
        retain_split = self.benchmarks[run.benchmark]["forget"].get(run.split)
        return run.facts.origin(run, self.models[run.model], retain_split)

    def outside(self, run: Run) -> str | None:
        """As `part`, but None where no place outside is asked: another run makes the model, or it is built."""
        part = self.part(run)
        return part if self.start(run) is None and part != "build" else None

    def tokenizer(self, run: Run) -> bool:
        """Whether a run's model names places of its own for the tokenizer."""
        return "tokenizer" in self.models[run.model]

    def files(self, benchmark: str) -> list[str]:
        """The local files that a benchmark is read from: none if it is generated or comes from the hub."""
        return self.definition(benchmark).files(what=f"benchmark {benchmark}")

    def model_files(self, model: str, part: str | None = None) -> list[str]:
        """The local files that a model is read from, so that another model at the same place is noticed; none of the hub's.

        Args:
            part: base, target, retain90, ...: all files of that part. Without it the tokenizers and configs of every part, which is
                what the model's description is made from.
        """
        listed = described(self.models[model])
        wanted = listed if part is None else {part: listed.get(part, [])}
        found = [find(places, what=f"model {model} ({name})") for name, places in wanted.items()]
        folders = [source.path for source in found if source and source.path]
        weights = part not in (None, "tokenizer")
        return sorted({str(file) for folder in folders for file in model_files(folder, weights=weights)})

    def classifier_files(self, benchmark: str) -> list[str]:
        """The same of a benchmark's fluency classifier."""
        place = self.classifier(benchmark)
        if place is None or place.startswith("hub:"):
            return []
        return [str(file) for file in model_files(Path(place), weights=True)]

    def references(self, run: Run) -> tuple[str, ...]:
        """The answers whose log-probabilities before unlearning a run compares with: `answer` (the gold one), and `idk` or `alternates`."""
        objective = run.method
        gold = ("answer",) if "reference" in objective.needs else ()
        return (*gold, objective.answers) if objective.answers else gold

    def classifier(self, benchmark: str) -> str | None:
        """Where a benchmark's fluency classifier is, as text; None if its definition names none, or it is in none of the places."""
        return classifier(benchmark, self.benchmarks[benchmark])

    def new_tokens(self, benchmark: str) -> int:
        """The longest continuation that a benchmark asks for."""
        return self.definition(benchmark).new_tokens

    def most_new_tokens(self, model: str) -> int:
        """The longest that a model is asked for in this experiment."""
        return max((self.new_tokens(run.benchmark) for run in self.runs if run.model == model), default=0)

    def gradient_norms(self, benchmark: str) -> bool:
        """Whether the gradient norm of each member and non-member is taken: a backward pass a sample."""
        return self.definition(benchmark).gradient_norms

    def needs(self, model: str) -> Needs:
        """What the jobs of a model ask of a machine, on their first attempt."""
        return Needs.of(self.models[model])

    def lineage(self) -> tuple[Run, ...]:
        """Every run that must exist, each after the one it starts from: base, target and retain models, then the rows."""
        found: dict[Run, None] = {}

        def visit(run: Run) -> None:
            start = self.start(run)
            if start is not None:
                visit(start)
            found.setdefault(run)

        for run in self.runs:
            visit(run)
        return tuple(found)


def classifier(name: str, benchmark: Mapping[str, Any]) -> str | None:
    """The place of a benchmark's fluency classifier; unlike data and weights it may be nowhere, and its metric is then absent.

    Raises:
        BaldroError: a variable that is set to what is not there, a hub entry without a revision.
    """
    found = find(benchmark.get("fluency") or [], what=f"the fluency classifier of benchmark {name}")
    return str(found) if found else None


def expand(block: Mapping[str, Any], parent: Run | None = None) -> list[Run]:
    """The runs of one grid block, and behind each those that start from its model: every combination, canonical, without doubles.

    Args:
        block: axis -> value or values; under `then` a block or blocks of runs that start from the model of each of these.
        parent: the run that these start from. Its benchmark, model and split are theirs unless the block says otherwise and, where they
            are of its stage, its objective, variant and hyperparameters too.
    """
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


def _listed(blocks: Any) -> list[Mapping[str, Any]]:
    return blocks if isinstance(blocks, list) else [] if blocks is None else [blocks]


def _check_block(axes: Mapping[str, Sequence[Any]]) -> None:
    """Whether a block's axes are axes, and all that every run needs."""
    for name, values in axes.items():
        if name in AMBIGUOUS:
            raise BaldroError(f"{name!r} is not an axis of the grid; write {AMBIGUOUS[name]}")
        if name not in AXES:
            raise unknown("axis", name, AXES)
        if not values:
            raise BaldroError(f"the axis {name} is empty; allowed: at least one value")
    for stage in axes.get("stage", []):
        if stage not in stages():
            raise unknown("stage", stage, stages(), where="grid")
    for objective in axes.get("objective", []):
        if objective not in (*rows(), *INSTEAD):
            raise unknown("objective", objective, rows(), where="grid")
    needed = [name for name in IDENTITY[:-1] if name != "objective" or "stage" not in axes]
    missing = [name for name in needed if name not in axes]
    if missing:
        raise BaldroError(f"the grid lacks the axis {missing[0]}; allowed: every grid names {', '.join(IDENTITY[:-1])}")


def without(runs: Sequence[Run], exclude: Iterable[Mapping[str, Any]]) -> list[Run]:
    """The runs that no entry of `exclude` means: those that have one of its values in each of its fields, and what starts from them."""
    kept = list(runs)
    for rule in (_exclusion(rule, runs) for rule in exclude):
        meant = {run for run in runs if all(getattr(run, name) in values for name, values in rule.items())}
        if not meant:
            told = ", ".join(f"{name!r} {' or '.join(map(str, values))}" for name, values in rule.items())
            raise BaldroError(f"exclude: no run of the grid has {told}; allowed: values that a run has")
        kept = [run for run in kept if meant.isdisjoint(run.line())]
    if not kept:
        raise BaldroError("exclude: every run is excluded; allowed: at least one run")
    return kept


def _check_axes(blocks: Sequence[Mapping[str, Any]], runs: Sequence[Run]) -> None:
    """Several values of a field that no run of the grid has would make one run of what was meant as several."""
    blocks = [block for each in blocks for block in _nested(each)]
    for name in dict.fromkeys(name for block in blocks for name in block):
        several = any(isinstance(block.get(name), list) and len(block[name]) > 1 for block in blocks)
        if several and all(getattr(run, name) is None for run in runs):
            raise BaldroError(
                f"the axis {name!r} matters to no run of the grid; allowed: with a method that has it (`baldro methods`), "
                "or one value"
            )


def _nested(block: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """A block and those under its `then`, each without that key."""
    own = {name: value for name, value in block.items() if name != THEN}
    return [own, *(each for more in _listed(block.get(THEN)) for each in _nested(more))]


def rows() -> tuple[str, ...]:
    """Objectives that a grid may name."""
    return tuple(OBJECTIVES)


def stages() -> tuple[str, ...]:
    """Stages that a grid may name: those whose runs are rows of the tables."""
    return tuple(name for name, facts in STAGES.items() if facts.tabled)


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


def experiment(config: Mapping[str, Any], *, models: Mapping[str, Any], benchmarks: Mapping[str, Any]) -> Experiment:
    """The experiment that a config describes, every name looked up. Errors are one line; `baldro.config` adds where in the file."""
    blocks = _listed(config["grid"])
    runs = list(dict.fromkeys(run for block in blocks for run in expand(block)))
    _check_axes(blocks, runs)
    for run in runs:
        check_names(run, models, benchmarks)
    runs = without(runs, config.get("exclude") or ())
    for run in runs:
        agree(run, models, benchmarks)
    result = Experiment(
        name=config["name"],
        description=config.get("description") or "",
        runs=(),
        models={run.model: models[run.model] for run in runs},
        benchmarks={run.benchmark: benchmarks[run.benchmark] for run in runs},
        selection=config.get("selection", {"rule": "all"}),
        attribution=config.get("attribution"),
    )
    if result.attribution:
        methods = [run.asdict() for run in runs if run.facts.forgets]
        crossings(methods, result.attribution["factors"])  # an error now, not after the training
    groups = {(run.benchmark, run.model, run.split): run for run in runs}.values()
    compared = [result.original(run) for run in groups] + [
        result.retain(run) for run in groups if result.has_retain(run)
    ]
    ordered = sorted(dict.fromkeys([*compared, *runs]), key=lambda run: (run.benchmark, run.model, run.split))
    return replace(result, runs=tuple(ordered))
