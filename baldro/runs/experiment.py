"""The experiment: the runs of a config, and what each of them builds on."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from baldro.benchmarks import Definition, define, module_of
from baldro.benchmarks.harness import Harness
from baldro.durable.contents import model_files
from baldro.places import described, find, resolve
from baldro.runs.agreement import agree, check_names, has_retain
from baldro.runs.crossings import crossings
from baldro.runs.grid import united, without
from baldro.runs.needs import Needs
from baldro.runs.run import Run
from baldro.stages import Origin


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
    exhibits: Mapping[str, tuple["Experiment", ...]] = field(default_factory=dict)
    """Of a paper: table or figure -> the experiments that it shows; empty where the config has a grid."""
    included: tuple[str, ...] = ()
    """Of a paper: the files of these experiments' configs."""
    attribution: Mapping[str, Any] | None = None
    """The crossed factors whose effects the report tells, and on which metrics."""
    columns: tuple[str, ...] | None = None
    """Metrics in the main tables; None for the usual ones."""
    keep_models: bool = False
    """Whether models stay in which the unlearning of this experiment ends."""

    @cached_property
    def _needs(self) -> dict[str, Needs]:
        return {model: Needs.of(entry) for model, entry in self.models.items()}

    @cached_property
    def _definitions(self) -> dict[str, Definition]:
        return {name: define(entry, what=f"benchmark {name!r}") for name, entry in self.benchmarks.items()}

    def definition(self, benchmark: str) -> Definition:
        """A benchmark as its kind has it."""
        return self._definitions[benchmark]

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
        return self._shared(run, split=run.split, objective="original")

    def retain(self, run: Run) -> Run:
        """The row of the model that never saw the forget split."""
        return self._shared(run, split=run.split, objective="retain")

    def _shared(self, run: Run, **names: Any) -> Run:
        """A run of the same benchmark and model that many build on: checked once, since a large grid asks for it thousands of times."""
        key = (run.benchmark, run.model, *names.items())
        if key not in self._found:
            self._found[key] = Run.of(benchmark=run.benchmark, model=run.model, **names)
        return self._found[key]

    @cached_property
    def _found(self) -> dict[tuple[Any, ...], Run]:
        return {}

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
        return self._shared(run, split=origin.split, stage=origin.stage, **settings)

    def parents(self) -> tuple[Run, ...]:
        """The runs of temporary models that other runs start from."""
        found = dict.fromkeys(filter(None, map(self.start, self.lineage())))
        return tuple(run for run in found if run.facts.temporary)

    def kept(self) -> tuple[Run, ...]:
        """The runs whose models stay after their scoring although their stage's are temporary: no further request starts from them."""
        methods = [run for run in self.runs if run.facts.forgets] if self.keep_models else []
        further = {run.parent for run in methods}
        return tuple(run for run in methods if run not in further)

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

    def harness(self, benchmark: str) -> Harness | None:
        """The tasks of lm-evaluation-harness that a benchmark names, if it names any."""
        return self.definition(benchmark).lm_eval

    def task_files(self, benchmark: str) -> list[str]:
        """The local files of tasks in a folder of the benchmark's own."""
        asked = self.harness(benchmark)
        return task_files(asked) if asked else []

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
        return self._needs[model]

    def lineage(self) -> tuple[Run, ...]:
        """Every run that must exist, each after the one it starts from: base, target and retain models, then the rows."""
        return self._lineage

    @cached_property
    def _lineage(self) -> tuple[Run, ...]:
        found: dict[Run, None] = {}

        def visit(run: Run) -> None:
            start = self.start(run)
            if start is not None:
                visit(start)
            found.setdefault(run)

        for run in self.runs:
            visit(run)
        return tuple(found)


def task_files(asked: Harness) -> list[str]:
    """All files of the folder of tasks that `lm_eval` names, but for what Python leaves there; none without it."""
    if asked.include_path is None:
        return []
    folder = resolve([asked.include_path], what="lm_eval: include_path").path
    return sorted(str(path) for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def classifier(name: str, benchmark: Mapping[str, Any]) -> str | None:
    """The place of a benchmark's fluency classifier; unlike data and weights it may be nowhere, and its metric is then absent.

    Raises:
        BaldroError: a variable that is set to what is not there, a hub entry without a revision.
    """
    found = find(benchmark.get("fluency") or [], what=f"the fluency classifier of benchmark {name}")
    return str(found) if found else None


def experiment(config: Mapping[str, Any], *, models: Mapping[str, Any], benchmarks: Mapping[str, Any]) -> Experiment:
    """The experiment that a config describes, every name looked up. Errors are one line; `baldro.config` adds where in the file."""
    runs = united(config["grid"])
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
        columns=tuple(config["columns"]) if config.get("columns") else None,
        keep_models=config.get("keep_models", False),
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
