"""Several experiments as one: what a paper's tables and figures show, every run of them once."""

from collections.abc import Iterable, Mapping
from typing import Any

from baldro.errors import BaldroError
from baldro.runs.experiment import Experiment


def collection(*, name: str, description: str, exhibits: Mapping[str, Mapping[str, Experiment]]) -> Experiment:
    """The experiments of a paper's exhibits as one, whose rows are those of all.

    Args:
        exhibits: table or figure -> config -> its experiment.

    Raises:
        BaldroError: a model or benchmark that two of them define differently: its name is part of a run's id; two rules of selection
            for the rows of one table.
    """
    for exhibit, files in exhibits.items():
        _check_rules(exhibit, files.values())
    parts = {file: part for files in exhibits.values() for file, part in files.items()}
    rows = dict.fromkeys(run for part in parts.values() for run in part.runs)
    return Experiment(
        name=name,
        description=description,
        runs=tuple(sorted(rows, key=lambda run: (run.benchmark, run.model, run.split))),
        models=_united("model", (part.models for part in parts.values())),
        benchmarks=_united("benchmark", (part.benchmarks for part in parts.values())),
        selection={"rule": "all"},
        keep_models=any(part.keep_models for part in parts.values()),
        exhibits={exhibit: tuple(files.values()) for exhibit, files in exhibits.items()},
        included=tuple(parts),
    )


def _check_rules(exhibit: str, parts: Iterable[Experiment]) -> None:
    """Whether one rule says which runs a table of a benchmark and model shows."""
    rules: dict[tuple[str, str], Mapping[str, Any]] = {}
    for part in parts:
        for key in dict.fromkeys((run.benchmark, run.model) for run in part.runs):
            if rules.setdefault(key, part.selection) != part.selection:
                raise BaldroError(
                    "two-rules",
                    f"{exhibit}: {' and '.join(key)} have two rules of selection; allowed: one for all its experiments",
                )


def _united(kind: str, sections: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for section in sections:
        for name, entry in section.items():
            if found.setdefault(name, entry) != entry:
                raise BaldroError(
                    "defined-twice",
                    f"{kind} {name!r} is another in two experiments of the paper; allowed: another name",
                )
    return found
