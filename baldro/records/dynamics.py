"""runs/{run}/dynamics.parquet, by `baldro train`: every forget sample each time that a step sees it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from baldro.errors import BaldroError
from baldro.records.store import folder, read_columns, write_table

if TYPE_CHECKING:
    import pandas as pd

NAME = "dynamics.parquet"
TYPES = {
    "step": "int64",
    "epoch": "float64",
    "index": "int64",
    "loss": "float64",
    "weight": "float64",
    "nll": "float64",
}
"""Column -> type: the step, from 1; epochs before it; the sample's index in its split; its loss; its weight; mean token NLL (nats)."""


def place(results: Path, run: str) -> Path:
    """Where it is."""
    return folder(results, run) / NAME


def write(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Store them, whole or not at all; of a training without a forget split there are none."""
    import pandas as pd

    write_table(path, pd.DataFrame(rows, columns=list(TYPES)).astype(TYPES), tuple(TYPES))


def read(path: Path) -> "pd.DataFrame":
    """The rows of a training.

    Raises:
        BaldroError: no file of `baldro train`, or an NLL that is not finite.
    """
    frame = read_columns(path, tuple(TYPES), made_by="`baldro train`")
    if not np.isfinite(frame["nll"].to_numpy(dtype=float)).all():
        raise BaldroError("number-not-finite", f"{path}: nll is not finite; allowed: mean token NLL in nats, 0 or more")
    return frame
