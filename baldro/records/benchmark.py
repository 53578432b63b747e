"""data/{benchmark}.parquet, by `baldro benchmark`: a benchmark's rows, and the frame's `attrs["notes"]`."""

import hashlib
import json
from pathlib import Path

import pandas as pd

from baldro.errors import BaldroError, unknown
from baldro.records.store import read_columns, write_table

COLUMNS = ("split", "index", "question", "answer", "paraphrased_answer", "perturbed_answer", "alternate_answer")


def place(results: Path, benchmark: str) -> Path:
    """Where it is."""
    return results / "data" / f"{benchmark}.parquet"


def write(path: Path, frame: pd.DataFrame) -> None:
    """Store a benchmark, whole or not at all."""
    write_table(path, frame, COLUMNS)


def read(path: Path) -> pd.DataFrame:
    """A stored benchmark, every split of it.

    Raises:
        BaldroError: a file that is not there, or that is none of `baldro benchmark`.
    """
    if not path.is_file():
        raise BaldroError(f"{path} is not there; run `baldro benchmark` first")
    return read_columns(path, COLUMNS, made_by="this `baldro benchmark`")


def notes(path: Path) -> list[str]:
    """What was noted of a stored benchmark's rows, a line each; mostly nothing."""
    from pyarrow import ArrowException
    from pyarrow.parquet import read_schema

    try:
        stored = read_schema(path).metadata or {}
    except (OSError, ArrowException) as error:
        raise BaldroError(f"{path}: not a parquet file ({error}); is the file cut short?") from None
    return json.loads(stored.get(b"PANDAS_ATTRS", b"{}")).get("notes", [])


def split(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """The records of one split, in order."""
    rows = frame[frame["split"] == name].sort_values("index", ignore_index=True)
    if rows.empty:
        raise unknown("split", name, frame["split"].unique(), where="the benchmark's table")
    return rows


def content_hash(frame: pd.DataFrame) -> str:
    """A hash of the rows themselves; a folder's name says nothing about what is in it."""
    text = json.dumps(frame.astype(object).where(frame.notna(), None).to_dict("records"), default=list, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
