"""runs/{run}/samples.parquet, by `baldro score`: what a model said, a row a section, sample and candidate answer."""

from pathlib import Path
from typing import TYPE_CHECKING

from baldro.durable.files import read_table, whole
from baldro.records.store import Whole, folder, write_table

if TYPE_CHECKING:
    import pandas as pd

KEY = ("section", "index", "candidate")
"""What a row is of: a section of the benchmark, a sample of it, and answer, paraphrase, wrong_0, wrong_1, ..."""
ASKED = ("question", "text")
REQUIRED = (
    *KEY,
    *ASKED,
    *("tokens", "end", "avg_loss", "logp", "hit", "mu", "sigma", "gradient_norm", "generation", "clean"),
)
"""Answer tokens, how many of them end it, mean NLL (nats); per token log-probability, greedily right, and mean and standard deviation of
the log-probabilities; norm of the gradient; greedy continuation; how fluent it is."""
COLUMNS = (*REQUIRED, "sequence")
"""`sequence`, a hash of the token ids, is not in evidence of before it was taken."""


def place(results: Path, run: str) -> Path:
    """Where it is."""
    return folder(results, run) / "samples.parquet"


def write(path: Path, frame: "pd.DataFrame", *, whole: Whole = whole) -> None:
    """Store evidence, whole or not at all."""
    write_table(path, frame, COLUMNS, whole=whole)


def read(path: Path) -> "pd.DataFrame":
    """Stored evidence, which `baldro.metrics` checks row by row.

    Raises:
        BaldroError: no such file, or no parquet file.
    """
    return read_table(path)
