"""What the modules of this room share: a record as a JSON object, and a table with its columns checked."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import MISSING, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from baldro.durable.files import read_json, read_table, whole, write_json
from baldro.errors import BaldroError

if TYPE_CHECKING:
    import pandas as pd

R = TypeVar("R")
Whole = Callable[[Path], AbstractContextManager[Path]]
"""What gives a place beside a path and renames it at the end: `durable.files.whole`, or a lease's `whole`."""


def folder(results: Path, run: str) -> Path:
    """The folder of a run."""
    return results / "runs" / run


def write_record(path: Path, record: Any) -> None:
    """Store a dataclass as a JSON object, in the order of its fields; an optional one that is None is left out."""
    optional = {field.name for field in fields(record) if field.default is None}
    write_json(path, {name: value for name, value in vars(record).items() if value is not None or name not in optional})


def read_record(path: Path, kind: type[R], *, made_by: str) -> R:
    """The dataclass that a JSON file holds; keys that it has no fields for are passed over.

    Raises:
        BaldroError: no such file, no JSON object, or a field that is not there.
    """
    stored, allowed = read_json(path), f"allowed: a file that {made_by} wrote"
    if not isinstance(stored, dict):
        raise BaldroError("not-an-object", f"{path} holds a {type(stored).__name__}, no JSON object; {allowed}")
    known = fields(kind)  # type: ignore[arg-type]
    required = [f.name for f in known if f.default is MISSING and f.default_factory is MISSING]
    if lacking := [name for name in required if name not in stored]:
        raise BaldroError("key-missing", f"{path} lacks {lacking[0]}; {allowed}")
    return kind(**{f.name: stored[f.name] for f in known if f.name in stored})


def write_table(path: Path, frame: "pd.DataFrame", columns: Sequence[str], *, whole: Whole = whole) -> None:
    """Store exactly these columns of a frame as parquet."""
    with whole(path) as beside:
        frame[list(columns)].to_parquet(beside, index=False)


def read_columns(path: Path, columns: Sequence[str], *, made_by: str) -> "pd.DataFrame":
    """A parquet file that has these columns, and perhaps more.

    Raises:
        BaldroError: no such file, no parquet file, or a column that is not there.
    """
    frame = read_table(path)
    lacking = [column for column in columns if column not in frame]
    if lacking:
        raise BaldroError(
            "column-missing", f"{path} lacks the column {lacking[0]}; allowed: a file that {made_by} wrote"
        )
    return frame


def check_run(path: Path, stored: str, run: str | None) -> None:
    """Whether a file is of this run, if one is asked for.

    Raises:
        BaldroError: it is of another one.
    """
    if run is not None and stored != run:
        raise BaldroError("another-run", f"{path} belongs to run {stored!r}; allowed: {run!r}")
