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
        BaldroError: a model or benchmark that two of them define differently: its name is part of a run's id.
    """
    parts = {file: part for files in exhibits.values() for file, part in files.items()}
    rows = dict.fromkeys(run for part in parts.values() for run in part.runs)
    return Experiment(
        name=name,
        description=description,
        runs=tuple(sorted(rows, key=lambda run: (run.benchmark, run.model, run.split))),
        models=_united("model", (part.models for part in parts.values())),
        benchmarks=_united("benchmark", (part.benchmarks for part in parts.values())),
        selection={"rule": "all"},
        exhibits={exhibit: tuple(files.values()) for exhibit, files in exhibits.items()},
        included=tuple(parts),
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
