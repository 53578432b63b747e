"""The tables that a benchmark is read from, in a folder or on the hub: each row with its place, and the texts that it must have."""

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from baldro.benchmarks import jsonlines
from baldro.durable.files import read_table
from baldro.errors import BaldroError
from baldro.places import Source, resolve

Placed = list[tuple[str, dict]]
"""Rows, each with what errors call it."""


class Table(NamedTuple):
    """Rows that stand together: a file of a folder, or a split on the hub."""

    places: Sequence[str]
    """Where the folder or the data set is (see baldro.places)."""
    what: str
    """What errors call it, where it is to be found nowhere."""
    layout: str
    """What a folder must be laid out as, for errors."""
    file: str
    """In a folder; the hub's own parquet files will do as well (`test-00000-of-00001.parquet` beside `test.json`)."""
    subset: str
    """Of the hub's data set."""
    split: str
    """Of that."""
    needed: tuple[str, ...] = ()
    """Fields that must be texts."""

    @property
    def source(self) -> Source:
        """The place that it is read from."""
        return resolve(self.places, what=self.what)

    def files(self, *, what: str = "") -> list[Path]:
        """Its files, as far as they are there; none on the hub.

        Args:
            what: the benchmark, for errors.
        """
        folder = resolve(self.places, what=f"{what}: {self.what}" if what else self.what).path
        return _files(folder / self.file) if folder else []

    def rows(self) -> list[dict]:
        """As `placed`, without the places."""
        return [row for _, row in self.placed()]

    def placed(self) -> Placed:
        """Its rows, at least one.

        Raises:
            BaldroError: no such file, one that is no rows, a hub that does not answer; a row without a text that it must have.
        """
        source = self.source
        found = self._in_folder(source.path) if source.path is not None else self._on_hub(source)
        for place, row in found if self.needed else ():
            check_texts(row, place, self.needed)
        return found

    def _in_folder(self, folder: Path) -> Placed:
        paths = _files(folder / self.file)
        if not paths:
            said = f"{folder / self.file} is not there; allowed: a folder laid out as {self.layout}"
            raise BaldroError("file-not-there", said)
        return jsonlines.read(paths[0]) if paths[0].suffix != ".parquet" else _parquet(paths)

    def _on_hub(self, source: Source) -> Placed:
        import datasets

        where, options = f"{source}: {self.subset}/{self.split}", dict(revision=source.revision, split=self.split)
        try:
            found = datasets.load_dataset(source.hub, self.subset, **options).to_list()
        except Exception as error:  # the hub's client raises many kinds; each means that there are no rows
            said = f"{where} cannot be loaded: {error}; allowed: a reachable hub or a local folder"
            raise BaldroError("hub-unreachable", said) from error
        if not found:
            raise BaldroError("no-rows", f"{where} has no rows; allowed: at least one")
        return [(f"{where} row {i}", row) for i, row in enumerate(found)]


def _files(named: Path) -> list[Path]:
    return [named] if named.is_file() else sorted(named.parent.glob(f"{named.stem}-*-of-*.parquet"))


def _parquet(paths: list[Path]) -> Placed:
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
