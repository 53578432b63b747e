"""Rows of a split, from a folder or from the hub, each with its place; and whether they have the texts that they need."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from baldro.benchmarks import jsonlines
from baldro.durable.files import read_table
from baldro.errors import BaldroError
from baldro.places import Source


def files_of(folder: Path, file: str) -> list[Path]:
    """The files of a split: the one that is named, else the hub's own (`test-00000-of-00001.parquet` beside it); or none."""
    named = folder / file
    return [named] if named.is_file() else sorted(named.parent.glob(f"{named.stem}-*-of-*.parquet"))


def rows(source: Source, file: str, *, subset: str, split: str, layout: str) -> list[tuple[str, dict]]:
    """The rows of a split, at least one, each with what errors call it.

    Args:
        source: where the benchmark is.
        file: of the split, if that is a folder; the hub's parquet files do as well (`files_of`).
        subset: of the hub's data set; `split`: the split of it.
        layout: what the folder must be laid out as, for errors.

    Raises:
        BaldroError: no such file, one that is no rows, a hub that does not answer.
    """
    if source.path is not None:
        paths = files_of(source.path, file)
        if not paths:
            said = f"{source.path / file} is not there; allowed: a folder laid out as {layout}"
            raise BaldroError("file-not-there", said)
        return jsonlines.read(paths[0]) if paths[0].suffix != ".parquet" else _parquet(paths)
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


def _parquet(paths: list[Path]) -> list[tuple[str, dict]]:
    """The rows of a split's parquet files, of which each says in its name how many they are."""
    count = int(re.search(r"-of-(\d+)$", paths[0].stem)[1])
    if len(paths) != count:
        said = f"{paths[0]}: {len(paths)} of {count} files are there; allowed: all of them"
        raise BaldroError("file-not-there", said)
    found = [(f"{path} row {i}", row) for path in paths for i, row in enumerate(read_table(path).to_dict("records"))]
    if not found:
        raise BaldroError("no-rows", f"{paths[0]} has no rows; allowed: at least one")
    return [(where, {key: _plain(value) for key, value in row.items()}) for where, row in found]


def _plain(value: Any) -> Any:
    """A cell as JSON would have it: an array is a list."""
    return value.tolist() if hasattr(value, "tolist") else value


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
