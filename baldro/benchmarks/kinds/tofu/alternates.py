"""Other answers to forget questions that come as data: JSON lines of question, answer and alternate_answer.

A row belongs to the record that has its question and its answer, since TOFU has one question twice. The files may cover more than what is
forgotten, and a row may come again with the same alternate answer, as in nested forget splits.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from baldro.benchmarks import jsonlines
from baldro.benchmarks.rows import check_texts
from baldro.errors import BaldroError
from baldro.places import resolve

FIELDS = ("question", "answer", "alternate_answer")

Rows = list[dict]
Pair = tuple[str, str]


def alternate_files(places: Sequence[str] | None, *, what: str) -> list[Path]:
    """The local files with other answers: the first of the places that exists, if a folder the JSON files in it; none without places.

    Args:
        what: the benchmark, for errors.

    Raises:
        BaldroError: places that are nowhere or on the hub; a folder without such files.
    """
    if places is None:
        return []
    source = resolve(places, what=f"the file of alternates of {what}")
    if source.path is None:
        raise BaldroError(
            "local-file-needed", f"{what}: alternates: {source} is on the hub; allowed: a local file or folder"
        )
    if source.path.is_file():
        return [source.path]
    files = sorted(path for path in source.path.iterdir() if path.suffix in (".json", ".jsonl"))
    if not files:
        raise BaldroError("no-files", f"{what}: alternates: {source} has no file *.json or *.jsonl")
    return files


def given(files: Sequence[Path], splits: Mapping[str, Rows], forget: Collection[str]) -> dict[str, list[str]]:
    """Forget split -> the alternate answer of each of its rows, in order.

    Args:
        splits: split -> rows with question and answer; `full` and each forget split, whose `_perturbed` has the wrong answers.
        forget: the forget splits.

    Raises:
        BaldroError: a row that lacks something or is of no record; two answers to one record, or none; an answer that the benchmark has
            itself (the true one, its paraphrase, a wrong one: the truth ratio would be taken over what was trained on).
    """
    known = {_pair(row) for row in splits["full"]}
    found: dict[Pair, tuple[str, str]] = {}
    for place, row in (each for path in files for each in jsonlines.read(path)):
        _check(row, place, known)
        alternate, first = found.setdefault(_pair(row), (row["alternate_answer"], place))
        if alternate != row["alternate_answer"]:
            raise BaldroError(
                "alternate-contradicts-another", f"{place}: another alternate_answer than in {first}; allowed: one"
            )
    for name in forget:
        for i, row in enumerate(splits[f"{name}_perturbed"]):
            if _pair(row) not in found:
                where, asked = (
                    files[0].parent if files[1:] else files[0],
                    f"row {i} of {name} ({row['question'][:60]!r})",
                )
                raise BaldroError("alternate-missing", f"{where}: no alternate_answer for {asked}; every row needs one")
            _differs(*found[_pair(row)], row)
    return {name: [found[_pair(row)][0] for row in splits[name]] for name in forget}


def _pair(row: dict) -> Pair:
    return row["question"], row["answer"]


def _check(row: dict, place: str, known: set[Pair]) -> None:
    check_texts(row, place, FIELDS)
    if _pair(row) not in known:
        raise BaldroError("alternate-of-no-row", f"{place}: no row of `full` has this question and answer")


def _differs(alternate: str, place: str, row: dict) -> None:
    own = {
        "answer": [row["answer"]],
        "paraphrased_answer": [row["paraphrased_answer"]],
        "perturbed_answer": row["perturbed_answer"],
    }
    for key, texts in own.items():
        if alternate.strip() in (text.strip() for text in texts):
            raise BaldroError("alternate-is-scored", f"{place}: alternate_answer is the row's {key}, which is scored")
