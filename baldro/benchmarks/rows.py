"""Rows of a split, from a folder or from the hub, each with its place; and whether they have the texts that they need."""

from collections.abc import Collection, Mapping
from typing import Any

from baldro.benchmarks import jsonlines
from baldro.errors import BaldroError
from baldro.places import Source


def rows(source: Source, file: str, *, subset: str, split: str, layout: str) -> list[tuple[str, dict]]:
    """The rows of a split, at least one, each with what errors call it.

    Args:
        source: where the benchmark is.
        file: of the split, if that is a folder.
        subset: of the hub's data set; `split`: the split of it.
        layout: what the folder must be laid out as, for errors.

    Raises:
        BaldroError: no such file, one that is no rows, a hub that does not answer.
    """
    if source.path is not None:
        path = source.path / file
        if not path.is_file():
            raise BaldroError("file-not-there", f"{path} is not there; allowed: a folder laid out as {layout}")
        return jsonlines.read(path)
    import datasets

    where = f"{source}: {subset}/{split}"
    try:
        found = datasets.load_dataset(source.hub, subset, revision=source.revision, split=split).to_list()
    except Exception as error:  # the hub's client raises many kinds; each means that there are no rows
        said = f"{where} cannot be loaded: {error}; allowed: a reachable hub or a local folder"
        raise BaldroError("hub-unreachable", said) from error
    if not found:
        raise BaldroError("no-rows", f"{where} has no rows; allowed: at least one")
    return [(f"{where} row {i}", row) for i, row in enumerate(found)]


def check_texts(row: Mapping[str, Any], place: str, needed: Collection[str], also: Collection[str] = ()) -> None:
    """Whether a row has the texts that it needs, and nothing but texts where it has more.

    Args:
        place: of the row, for errors.
        also: further fields that must be texts, if they are there.

    Raises:
        BaldroError: a text that is missing, empty, or none.
    """
    for key in (*needed, *(key for key in also if row.get(key) is not None)):
        if said := jsonlines.fault(row.get(key)):
            raise BaldroError("field-not-text", f"{place}: field {key} {said}; required: {', '.join(needed)}")
