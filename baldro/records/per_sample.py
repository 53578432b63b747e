"""runs/{run}/per_sample.parquet, by `baldro metrics`: the values behind the metrics, a row a metric and sample."""

from pathlib import Path
from typing import TYPE_CHECKING

from baldro.records.store import folder, read_columns, write_table

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("metric", "index", "value")


def place(results: Path, run: str) -> Path:
    """Where it is."""
    return folder(results, run) / "per_sample.parquet"


def write(path: Path, frame: "pd.DataFrame") -> None:
    """Store them, whole or not at all."""
    write_table(path, frame, COLUMNS)


def read(path: Path) -> "pd.DataFrame":
    """Stored values.

    Raises:
        BaldroError: no file of `baldro metrics`.
    """
    return read_columns(path, COLUMNS, made_by="`baldro metrics`")
