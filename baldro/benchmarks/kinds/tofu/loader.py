"""TOFU's rows, held against each other: a split is checked by itself, and by what the others say of it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from baldro.benchmarks import jsonlines
from baldro.benchmarks.apart import Pair
from baldro.benchmarks.kinds.tofu import OPTIONS, Benchmark
from baldro.benchmarks.kinds.tofu.alternates import alternate_files, given
from baldro.benchmarks.kinds.tofu.doubts import doubts
from baldro.benchmarks.rows import Table, check_texts
from baldro.errors import BaldroError
from baldro.records.benchmark import Rows, frame_of

if TYPE_CHECKING:
    import pandas as pd

ROWS = {"full": 4000, "retain_perturbed": 400, "real_authors_perturbed": 100, "world_facts_perturbed": 117}
"""TOFU's own sizes, where no other split would tell that a file was cut."""


def load(definition: Benchmark) -> "pd.DataFrame":
    """TOFU's records, checked, of the splits that the data have.

    Returns: the records; `attrs["notes"]` has a line for each kind of doubtful rows that are few enough to be let through.
    """
    tables, forget, held = definition.tables(), definition.data_splits(), definition.holdout or {}
    files = alternate_files(definition.alternates, what="the benchmark")
    splits = {name: _rows(table, definition.wrong.get(name)) for name, table in tables.items()}
    where = tables["full"].source
    _agree(splits, forget, where)
    notes = doubts(splits, forget=forget, held=held, where=where)
    others = given(files, splits, forget) if files else {}
    if definition.retain_rows is not None:
        splits = _shorten(splits, forget, definition.retain_rows)
    known = [{"question": row["question"], "answer": row["answer"]} for name in OPTIONS for row in splits[name]]
    taught = {
        name: [row | {"alternate_answer": text} for row, text in zip(splits[name], texts, strict=True)]
        for name, texts in others.items()
    }
    return frame_of({**splits, **taught, "base": known}, notes)


def _rows(table: Table, wrong: int | None) -> Rows:
    """The rows of a split; what they have beyond what it needs must be texts too.

    Args:
        wrong: wrong answers that each must have; None: it need not.
    """
    placed = table.placed()
    for place, row in placed:
        check_texts(row, place, table.needed, also=["paraphrased_answer"])
        others = row.get("perturbed_answer")
        if others is not None or wrong:
            _check_wrong(others, place, wrong)
    return [row for _, row in placed]


def _check_wrong(others: object, place: str, wrong: int | None) -> None:
    must = f"{place}: perturbed_answer must be a list of {f'{wrong} ' if wrong else ''}answers"
    if not isinstance(others, list) or len(others) != (wrong or len(others)):
        raise BaldroError("wrong-answers-ill-formed", must)
    for i, text in enumerate(others):
        if said := jsonlines.fault(text):
            raise BaldroError("wrong-answers-ill-formed", f"{must}; answer {i} {said}")


def _pairs(rows: Rows) -> list[Pair]:
    return [(row["question"], row["answer"]) for row in rows]


def _agree(splits: dict[str, Rows], forget: Mapping[str, str], where: object) -> None:
    """A file that was cut at the end of a line is still valid JSON lines: only the other splits tell."""
    for name, retain in forget.items():
        if _pairs(splits[retain]) + _pairs(splits[name]) != _pairs(splits["full"]):
            sizes = ", ".join(f"{key} {len(splits[key])}" for key in (retain, name, "full"))
            raise BaldroError(
                "splits-cut-short",
                f"{where}: {retain} and {name} are not full in order (rows: {sizes}); is a file cut short?",
            )
        if _pairs(splits[f"{name}_perturbed"]) != _pairs(splits[name]):
            sizes = f"{name}_perturbed {len(splits[f'{name}_perturbed'])}, {name} {len(splits[name])}"
            raise BaldroError(
                "splits-cut-short",
                f"{where}: {name}_perturbed has not the rows of {name} in order (rows: {sizes}); is a file cut short?",
            )

    if len(splits["full"]) == ROWS["full"]:
        for name, rows in ROWS.items():
            if len(splits[name]) != rows:
                raise BaldroError("splits-cut-short", f"{where}: {name} has {len(splits[name])} rows of {rows}")


def _shorten(splits: dict[str, Rows], forget: Mapping[str, str], retain_rows: int) -> dict[str, Rows]:
    smallest = min((splits[retain] for retain in forget.values()), key=len)
    if not 1 <= retain_rows <= len(smallest):
        raise BaldroError("number-out-of-range", f"retain_rows is {retain_rows}; allowed: 1 to {len(smallest)}")
    gone = slice(retain_rows, len(smallest))
    shorter = dict(splits)
    for name in ("full", *forget.values()):
        shorter[name] = splits[name][: gone.start] + splits[name][gone.stop :]
    kept = set(_pairs(shorter["full"]))
    shorter["retain_perturbed"] = [
        row for row in splits["retain_perturbed"] if (row["question"], row["answer"]) in kept
    ]
    if not shorter["retain_perturbed"]:
        raise BaldroError("no-row-left", f"retain_rows {retain_rows} leaves no row of retain_perturbed; needs more")
    return shorter
