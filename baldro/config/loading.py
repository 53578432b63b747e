"""From a config to its experiment. What is wrong ends in one line: file, line, what, what is allowed."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from baldro.benchmarks import define
from baldro.config.document import Benchmark, Config
from baldro.config.mistakes import checked
from baldro.config.model import Model
from baldro.config.paper import Paper
from baldro.config.selection import check_metrics
from baldro.config.yamlfile import Places, check_once, read
from baldro.errors import BaldroError
from baldro.places import resolve
from baldro.runs.collection import collection
from baldro.runs.experiment import Experiment, classifier, experiment, task_files

ROOT = Path(__file__).resolve().parents[2]
ENTRIES = {"models": Model, "benchmarks": Benchmark}
"""Section of a config, and file with its names -> what its entries are."""


def load(source: Mapping[str, Any] | str | Path, *, files: Sequence[str | Path] = (), root: Path = ROOT) -> Experiment:
    """The experiment of a config, which is checked, and every name in it is looked up in models.yaml and benchmarks.yaml.

    Args:
        source: a config file, or the config itself (the workflow has it already).
        files: the files that a config given as a mapping came from, to say where a mistake is.
        root: the folder with models.yaml and benchmarks.yaml.

    Raises:
        BaldroError: the first mistake, in one line with its place.
    """
    if isinstance(source, Mapping):
        check_once(files)
    else:
        files, source = [source], read(source)
    place = Places(files)
    config = checked(Config, source, place)
    if config.paper:
        exhibits = _included(config.paper, place, root)
        try:
            return collection(name=config.name, description=config.description, exhibits=exhibits)
        except BaldroError as error:
            raise BaldroError(error.code, f"{place.at(['paper'])}: {error}") from None
    named = {kind: _named(kind, source.get(kind, {}), place, root) for kind in ENTRIES}
    try:
        result = experiment({**source, "selection": config.selection.settled()}, **named)
    except BaldroError as error:
        raise BaldroError(error.code, f"{place.near(str(error))}: {error}") from None
    kinds = [benchmark["kind"] for benchmark in result.benchmarks.values()]
    asked = [name for part in (config.selection, config.attribution) if part for name in part.named()]
    asked += [(["columns", at], name) for at, name in enumerate(config.columns or ())]
    tasks = [c.name for name in result.benchmarks if (of := result.harness(name)) for c in of.columns]
    check_metrics(asked, kinds, place, tasks=tasks)
    for kind in ENTRIES:
        for name, definition in getattr(result, kind).items():
            own = name in source.get(kind, {})
            _find(
                kind, name, definition, *((place, [kind, name]) if own else (Places([root / f"{kind}.yaml"]), [name]))
            )
    return result


def _included(paper: Paper, place: Places, root: Path) -> dict[str, dict[str, Experiment]]:
    """Table or figure -> config -> its experiment, each loaded once."""
    found: dict[str, dict[str, Experiment]] = {}
    loaded: dict[str, Experiment] = {}
    for exhibit, at, file in paper.named():
        path, where = str(root / file), f"{place.at(['paper', exhibit, at])}: {file}"
        if path not in loaded:
            part = loaded[path] = load(path, root=root)
            if part.exhibits:
                raise BaldroError("paper-in-a-paper", f"{where} has no grid of its own; allowed: a config with a grid")
            if [each.name for each in loaded.values()].count(part.name) > 1:
                raise BaldroError(
                    "defined-twice", f"{where} has the name {part.name!r} of another; allowed: another name"
                )
        found.setdefault(exhibit, {})[path] = loaded[path]
    return found


def _named(kind: str, own: Mapping[str, Any], place: Places, root: Path) -> dict[str, Any]:
    """The entries of models.yaml or benchmarks.yaml with those that the config has of its own: one name, one definition."""
    path = root / f"{kind}.yaml"
    shared = read(path)
    checked(dict[str, ENTRIES[kind]], shared, Places([path]))
    for name, definition in own.items():
        if name in shared and shared[name] != definition:
            raise BaldroError(
                "defined-twice",
                f"{place.at([kind, name])}: {name!r} is another in {kind}.yaml; allowed: another name",
            )
    return {**shared, **own}


def _find(kind: str, name: str, definition: Mapping[str, Any], place: Places, path: Sequence[str]) -> None:
    """A place that is nowhere ends here, before anything runs; what is on the hub is looked up by the first job that needs it."""
    for key, look in _looks(kind, name, definition):
        try:
            look()
        except BaldroError as error:
            raise BaldroError(error.code, f"{place.at([*path, *key])}: {error}") from None


def _looks(kind: str, name: str, definition: Mapping[str, Any]) -> Iterator[tuple[list[str], Any]]:
    """(keys in a definition, what ends in an error if they lead nowhere)."""
    what = f"{kind.removesuffix('s')} {name}"
    places = [([key], definition[key]) for key in ("source", "target", "tokenizer") if key in definition]
    places += [(["retain", split], those) for split, those in definition.get("retain", {}).items()]
    places += [(["checkpoints", name], those) for name, those in definition.get("checkpoints", {}).items()]
    for key, those in places:
        yield key, lambda those=those: resolve(those, what=what)
    if kind == "benchmarks":
        yield ["fluency"], lambda: classifier(name, definition)
        yield ["lm_eval", "include_path"], lambda: task_files(asked) if (asked := define(definition).lm_eval) else []
        yield ["alternates"], lambda: define(definition).files(what=what)
