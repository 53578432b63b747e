"""TOFU (Maini et al. 2024, arXiv 2401.06121): a folder of JSON lines named as on the hub, or the hub's locuslab/TOFU.

4,000 question-answer pairs about 200 invented authors, 20 each. 4,000 pairs are unique but only 3,999 questions: rows are keyed
by their position. `full` is retain90 and then forget10. What a forget split is called, which split is retained with it and which rows
are held out is said by the benchmark's definition; its wrong and paraphrased answers are in `{split}_perturbed`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from baldro.benchmarks import jsonlines
from baldro.benchmarks.alternates import given
from baldro.benchmarks.apart import Pair
from baldro.benchmarks.rows import check_texts, rows
from baldro.benchmarks.tofu_doubts import OPTIONS, doubts
from baldro.errors import BaldroError
from baldro.places import Source, resolve
from baldro.records.benchmark import frame_of

ALWAYS = ("full", "retain_perturbed", "real_authors_perturbed", "world_facts_perturbed")
PERTURBED = {"retain_perturbed": 5, "real_authors_perturbed": 3, "world_facts_perturbed": 3}
"""Wrong answers per row; forget splits have five."""
ROWS = {"full": 4000, "retain_perturbed": 400, "real_authors_perturbed": 100, "world_facts_perturbed": 117}
"""TOFU's own sizes, where no other split would tell that a file was cut."""


def load(
    places: Sequence[str],
    *,
    forget: Mapping[str, str],
    holdout: Mapping[str, str] | None = None,
    retain_rows: int | None = None,
    alternates: Sequence[Path] = (),
) -> pd.DataFrame:
    """TOFU's records, checked.

    Args:
        places: where the rows are (see baldro.places).
        forget: forget split -> retain split.
        holdout: forget split -> the split of rows that no model saw; by default there are none.
        retain_rows: keep only the first so many rows of the smallest retain split, and all else that is left of it.
        alternates: files of other answers to the forget questions (see baldro.benchmarks.alternates); by default there are none.

    Returns: the records; `attrs["notes"]` has a line for each kind of doubtful rows that are few enough to be let through.
    """
    source, held = resolve(places, what="the TOFU data"), holdout or {}
    wrong = PERTURBED | {f"{name}_perturbed": 5 for name in forget}
    names = dict.fromkeys(
        [*ALWAYS, *forget, *forget.values(), *(f"{name}_perturbed" for name in forget), *held.values()]
    )
    splits = {name: _rows(source, name, wrong.get(name)) for name in names}
    _agree(splits, forget, source)
    notes = doubts(splits, forget=forget, held=held, where=source)
    others = given(alternates, splits, forget) if alternates else {}
    if retain_rows is not None:
        splits = _shorten(splits, forget, retain_rows)
    known = [{"question": row["question"], "answer": row["answer"]} for name in OPTIONS for row in splits[name]]
    taught = {
        name: [row | {"alternate_answer": text} for row, text in zip(splits[name], texts, strict=True)]
        for name, texts in others.items()
    }
    frame = frame_of({**splits, **taught, "base": known})
    frame.attrs = {"notes": notes} if notes else {}
    return frame


def _rows(source: Source, name: str, wrong: int | None) -> list[dict]:
    placed = rows(
        source, f"{name}.json", subset=name, split="train", layout="locuslab/TOFU, a file of JSON lines a split"
    )
    for place, row in placed:
        _check(row, name, place, wrong)
    return [row for _, row in placed]


def _check(row: dict, name: str, place: str, wrong: int | None) -> None:
    """Whether a row has what its split needs; what it has beyond that must be texts too.

    Args:
        wrong: wrong answers that it must have; None: it need not.
    """
    needed = ["question", "answer", *(["paraphrased_answer"] if wrong and name not in OPTIONS else [])]
    check_texts(row, place, needed, also=["paraphrased_answer"])
    others = row.get("perturbed_answer")
    if others is None and not wrong:
        return
    must = f"{place}: perturbed_answer must be a list of {f'{wrong} ' if wrong else ''}answers"
    if not isinstance(others, list) or len(others) != (wrong or len(others)):
        raise BaldroError("wrong-answers-ill-formed", must)
    for i, text in enumerate(others):
        if said := jsonlines.fault(text):
            raise BaldroError("wrong-answers-ill-formed", f"{must}; answer {i} {said}")


def _pairs(rows: list[dict]) -> list[Pair]:
    return [(row["question"], row["answer"]) for row in rows]


def _agree(splits: dict[str, list[dict]], forget: Mapping[str, str], source: Source) -> None:
    """A file that was cut at the end of a line is still valid JSON lines: only the other splits tell."""
    for name, retain in forget.items():
        if _pairs(splits[retain]) + _pairs(splits[name]) != _pairs(splits["full"]):
            sizes = ", ".join(f"{key} {len(splits[key])}" for key in (retain, name, "full"))
            raise BaldroError(
                "splits-cut-short",
                f"{source}: {retain} and {name} are not full in order (rows: {sizes}); is a file cut short?",
            )
        if _pairs(splits[f"{name}_perturbed"]) != _pairs(splits[name]):
            sizes = f"{name}_perturbed {len(splits[f'{name}_perturbed'])}, {name} {len(splits[name])}"
            raise BaldroError(
                "splits-cut-short",
                f"{source}: {name}_perturbed has not the rows of {name} in order (rows: {sizes}); is a file cut short?",
            )

    if len(splits["full"]) == ROWS["full"]:
        for name, rows in ROWS.items():
            if len(splits[name]) != rows:
                raise BaldroError("splits-cut-short", f"{source}: {name} has {len(splits[name])} rows of {rows}")


def _shorten(splits: dict[str, list[dict]], forget: Mapping[str, str], retain_rows: int) -> dict[str, list[dict]]:
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
