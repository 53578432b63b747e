"""runs/{run}/reference{-kind}.parquet, by `baldro reference`: log r(y_t) of answers under the model before unlearning, a row an answer."""

from pathlib import Path
from typing import TYPE_CHECKING

from baldro.durable.files import whole
from baldro.records.store import Whole, folder, read_columns, write_table

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("index", "sequence", "tokens", "logp", "token_logp")
"""Position in the split; a hash of the token ids; answer tokens; their summed log-probability (nats); that of each (float32)."""


def place(results: Path, run: str, kind: str = "answer") -> Path:
    """Where it is, of the gold answers or of another kind (idk, alternates)."""
    return folder(results, run) / f"reference{'' if kind == 'answer' else f'-{kind}'}.parquet"


def write(path: Path, frame: "pd.DataFrame", *, whole: Whole = whole) -> None:
    """Store them, whole or not at all."""
    write_table(path, frame, COLUMNS, whole=whole)


def read(path: Path) -> "pd.DataFrame":
    """Stored log-probabilities.

    Raises:
        BaldroError: no file of `baldro reference`.
    """
    return read_columns(path, COLUMNS, made_by="`baldro reference`")
