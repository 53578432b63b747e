"""runs/{run}/train.csv, by `baldro train`: a row a step."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from baldro.durable.files import whole
from baldro.errors import BaldroError

if TYPE_CHECKING:
    import pandas as pd

NAME = "train.csv"
COLUMNS = ("step", "epoch", "lr", "forget_loss", "retain_loss", "grad_norm", "tokens_per_second", "seconds")
"""From 1; epochs before it; learning rate; losses (NaN of a half that is absent); gradient norm before clipping; speed; time so far."""


def write(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Store them, whole or not at all."""
    with whole(path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def read(path: Path) -> "pd.DataFrame":
    """The steps of a training.

    Raises:
        BaldroError: no such file, or none of `baldro train`.
    """
    import pandas as pd

    try:
        frame = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise BaldroError(
            "unreadable-file", f"{path} cannot be read ({error}); allowed: a file that `baldro train` wrote"
        ) from None
    if list(frame) != list(COLUMNS):
        raise BaldroError("other-columns", f"{path} has other columns; allowed: {', '.join(COLUMNS)}")
    return frame
