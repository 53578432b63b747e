"""reports/{experiment}/, by `baldro report`: the long table that tables and figures were made of, and the settings they were made by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from baldro.durable.files import write_text
from baldro.errors import BaldroError
from baldro.records.store import read_record, write_record

if TYPE_CHECKING:
    import pandas as pd

PAGE, ROWS, SETTINGS = "report.html", "runs.csv", "report.json"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the tables were made by."""

    selection: Mapping[str, Any]
    """The rule of selection."""
    metrics: Sequence[str] | None
    """Columns of the main tables; None for the usual ones."""
    attribution: Mapping[str, Any] | None
    """Factors and metrics, where effects are attributed."""


def place(results: Path, experiment: str) -> Path:
    """The folder of a report."""
    return results / "reports" / experiment


def write(folder: Path, frame: "pd.DataFrame", settings: Settings) -> None:
    """Store the long table, a row a run, and the settings."""
    write_text(folder / ROWS, frame.to_csv(index=False))
    write_record(folder / SETTINGS, settings)


def read(folder: Path) -> tuple["pd.DataFrame", Settings]:
    """The long table and the settings of a report.

    Raises:
        BaldroError: no report.
    """
    import pandas as pd

    settings = read_record(folder / SETTINGS, Settings, made_by="`baldro report`")
    try:
        return pd.read_csv(folder / ROWS), settings
    except (OSError, ValueError) as error:
        raise BaldroError(
            "unreadable-file", f"{folder / ROWS} cannot be read ({error}); allowed: a file that `baldro report` wrote"
        ) from None
