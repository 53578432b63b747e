"""Benchmark -> records -> token batches.

A benchmark is one table (results/data/{benchmark}.parquet), one row a record: split, index in the split, question, answer,
and, where the split has them, paraphrased_answer and perturbed_answer (a list: wrong answers, or the other options of a multiple choice),
and in forget splits alternate_answer: another answer, not among those, for methods that teach one. What a model is trained on is in `full`,
in the forget and retain splits, which are named by the definition, and in `base`: what a model built from scratch learns before anything
else. Running text has the question "". A kind of benchmark is a file, or a folder, of `kinds`.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from baldro.benchmarks.definition import Definition, OwnMetric
from baldro.benchmarks.section import Section
from baldro.errors import BaldroError, unknown
from baldro.records.benchmark import COLUMNS, content_hash, read, split, write

if TYPE_CHECKING:
    import pandas as pd

FOLDER = Path(__file__).parent / "kinds"


def module_of(kind: str) -> str:
    """The module of a kind, without the leading `baldro.`: what a fingerprint of its numbers lists."""
    return f"benchmarks.kinds.{kind}"


@cache
def _kinds() -> Mapping[str, type[Definition]]:
    names = sorted(module.name for module in iter_modules([str(FOLDER)]) if not module.name.startswith("_"))
    found = {name: _kind(name) for name in names}
    for name, kind in found.items():
        if kind.form_of and kind.form_of not in found:
            raise unknown("kind of benchmark", kind.form_of, found, where=f"{FOLDER / name} (form_of)")
    return MappingProxyType(found)


def _kind(name: str) -> type[Definition]:
    found = getattr(import_module(f"baldro.{module_of(name)}"), "Benchmark", None)
    if not (isinstance(found, type) and issubclass(found, Definition)):
        raise BaldroError("kind-without-class", f"{FOLDER / name} needs a class Benchmark(Definition)")
    lacking = [fact for fact in ("sections", "metrics", "columns") if not hasattr(found, fact)]
    lacking += sorted(found.__abstractmethods__)
    if lacking:
        raise BaldroError("kind-incomplete", f"{FOLDER / name}: Benchmark lacks {', '.join(lacking)}")
    return found


KINDS = _kinds()
"""Kind -> its class of definitions, for every file of `kinds`."""


def forms(kind: str) -> tuple[str, ...]:
    """A kind, and the one that it is a form of: what is said of either goes for it."""
    return (kind, KINDS[kind].form_of) if KINDS[kind].form_of else (kind,)


def define(definition: Mapping[str, Any] | Definition, *, what: str = "the benchmark") -> Definition:
    """A benchmark as its kind has it.

    Args:
        definition: its entry in benchmarks.yaml; what is one already is returned as it is.
        what: the benchmark, for errors.

    Raises:
        BaldroError: an unknown kind; a key that the kind has not, a value out of bounds: the first of them, in one line.
    """
    if isinstance(definition, Definition):
        return definition
    kind = definition.get("kind")
    if kind not in KINDS:
        raise unknown("kind of benchmark", kind, KINDS)
    try:
        return KINDS[kind].model_validate(dict(definition))
    except ValidationError as error:
        raise _said(error.errors()[0], KINDS[kind], what) from None


def _said(first: Mapping[str, Any], kind: type[Definition], what: str) -> BaldroError:
    """The first error of a definition in one line."""
    where = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        return unknown(
            "key", where, kind.model_fields, where=f"{what}, which is of kind {kind.__module__.rpartition('.')[2]}"
        )
    if first["type"] == "missing":
        return BaldroError("key-missing", f"{what} lacks {where}; required: {where}")
    own = first.get("ctx", {}).get("error")  # of a validator of the kind
    said = own or f"is {first['input']!r}; allowed: {first['msg'].removeprefix('Input should be ')}"
    return BaldroError(getattr(own, "code", "value-not-allowed"), ": ".join(filter(None, (what, where, str(said)))))


def build(definition: Mapping[str, Any] | Definition) -> "pd.DataFrame":
    """All records of a benchmark as benchmarks.yaml defines it.

    Raises:
        BaldroError: a source that is not there, a file cut short, a missing field, splits that contradict each other or overlap.

    Returns: the records, with `attrs["kind"]`, and doubtful rows that are few have a line each in `attrs["notes"]`: both are stored
        with them.
    """
    settled = define(definition)
    frame = settled.load()
    frame.attrs["kind"] = settled.kind
    return frame


def sections(records: "pd.DataFrame", forget: str, holdout: str | None) -> tuple[Section, ...]:
    """The sections of a benchmark, the names of the forget split and of the holdout filled in; without optional ones that have no rows.

    Args:
        records: its table, which says its kind.
        holdout: the split that the definition names, if it names one.

    Raises:
        BaldroError: a table without a kind; a holdout that is none of its splits.
    """
    kind = kind_of(records, where="the benchmark's table")
    there = set(records["split"])
    if holdout is not None and holdout not in there:
        raise unknown("split", holdout, records["split"].unique(), where="the benchmark's table")
    named = [replace(s, split=s.split.format(split=forget, holdout=holdout)) for s in kind.sections]
    return tuple(s for s in named if not s.optional or s.split in there)


def kind_of(frame: "pd.DataFrame", *, where: str) -> type[Definition]:
    """The kind that a table of records or of evidence says (`attrs["kind"]`).

    Raises:
        BaldroError: it says none, or one that is not here.
    """
    kind = frame.attrs.get("kind")
    if kind not in KINDS:
        raise BaldroError("kind-missing", f"{where} is of kind {kind!r}; allowed: {', '.join(KINDS)}; make it anew")
    return KINDS[kind]


__all__ = [
    "COLUMNS",
    "KINDS",
    "Definition",
    "OwnMetric",
    "Section",
    "build",
    "content_hash",
    "define",
    "forms",
    "kind_of",
    "module_of",
    "read",
    "sections",
    "split",
    "write",
]
