"""data/{benchmark}.parquet, by `baldro benchmark`: a benchmark's rows, and the frame's `attrs`: its kind, and notes on its rows.

Rows that a split has of several topics say theirs in one more column, `topic`; a benchmark without such rows has no such column.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from baldro.errors import BaldroError, unknown
from baldro.records.store import read_columns, write_table

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("split", "index", "question", "answer", "paraphrased_answer", "perturbed_answer", "alternate_answer")
TOPIC = "topic"
Rows = list[dict]
"""question, answer and, where a row has them, the other texts of COLUMNS, and its topic."""


def place(results: Path, benchmark: str) -> Path:
    """Where it is."""
    return results / "data" / f"{benchmark}.parquet"


def frame_of(splits: Mapping[str, Rows], notes: Sequence[str] = ()) -> "pd.DataFrame":
    """Rows by split as one table, in order; a text that a row lacks is None. `attrs["notes"]` has the notes, if there are any."""
    import pandas as pd

    topics = [TOPIC] * any(TOPIC in row for own in splits.values() for row in own)
    texts = [*COLUMNS[2:], *topics]
    rows = [
        {"split": name, "index": i, **{text: row.get(text) for text in texts}}
        for name in splits
        for i, row in enumerate(splits[name])
    ]
    frame = pd.DataFrame(rows, columns=[*COLUMNS, *topics], dtype=object)  # object: None would become NaN
    frame = frame.astype({"index": int})
    frame.attrs = {"notes": list(notes)} if notes else {}
    return frame


def write(path: Path, frame: "pd.DataFrame") -> None:
    """Store a benchmark, whole or not at all."""
    write_table(path, frame, [*COLUMNS, *([TOPIC] if TOPIC in frame else [])])


def read(path: Path) -> "pd.DataFrame":
    """A stored benchmark, every split of it.

    Raises:
        BaldroError: a file that is not there, or that is none of `baldro benchmark`.
    """
    if not path.is_file():
        raise BaldroError("file-not-there", f"{path} is not there; run `baldro benchmark` first")
    return read_columns(path, COLUMNS, made_by="this `baldro benchmark`")


def counts(path: Path) -> dict[str, int]:
    """Rows by split of a stored benchmark."""
    return read(path).groupby("split").size().to_dict()


def notes(path: Path) -> list[str]:
    """What was noted of a stored benchmark's rows, a line each; mostly nothing."""
    from pyarrow import ArrowException
    from pyarrow.parquet import read_schema

    try:
        stored = read_schema(path).metadata or {}
    except (OSError, ArrowException) as error:
        raise BaldroError("not-parquet", f"{path}: not a parquet file ({error}); is the file cut short?") from None
    return json.loads(stored.get(b"PANDAS_ATTRS", b"{}")).get("notes", [])


def split(frame: "pd.DataFrame", name: str) -> "pd.DataFrame":
    """The records of one split, in order."""
    rows = frame[frame["split"] == name].sort_values("index", ignore_index=True)
    if rows.empty:
        raise unknown("split", name, frame["split"].unique(), where="the benchmark's table")
    return rows


def topics(frame: "pd.DataFrame", name: str) -> list[str | None]:
    """Of each row of a split its topic, None of a row without one."""
    rows = split(frame, name)
    return [row if isinstance(row, str) else None for row in (rows[TOPIC] if TOPIC in rows else [None] * len(rows))]


def content_hash(frame: "pd.DataFrame") -> str:
    """A hash of the rows themselves; a folder's name says nothing about what is in it."""
    text = json.dumps(frame.astype(object).where(frame.notna(), None).to_dict("records"), default=list, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
