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
SCORE = "score"
"""Column that only evidence with `lm_eval` has: what lm-evaluation-harness gives for an answer. These rows are no sample of the benchmark:
their section is a metric's name, and all that is taken of tokens is absent."""


def place(results: Path, run: str) -> Path:
    """Where it is."""
    return folder(results, run) / "samples.parquet"


def write(path: Path, frame: "pd.DataFrame", *, whole: Whole = whole) -> None:
    """Store evidence, whole or not at all."""
    write_table(path, frame, [*COLUMNS, *([SCORE] if SCORE in frame else [])], whole=whole)


def read(path: Path) -> "pd.DataFrame":
    """Stored evidence of the benchmark's own samples, which `baldro.metrics` checks row by row.

    Raises:
        BaldroError: no such file, or no parquet file.
    """
    frame = read_table(path)
    return frame[frame[SCORE].isna()].drop(columns=SCORE) if SCORE in frame else frame


def with_scores(frame: "pd.DataFrame", answers: "pd.DataFrame") -> "pd.DataFrame":
    """Evidence with the rows of lm-evaluation-harness.

    Args:
        answers: metric, index, question, text, generation, score; a row a metric and question.
    """
    import pandas as pd

    rows = answers.rename(columns={"metric": "section"}).assign(candidate="answer", tokens=0, end=0)
    result = pd.concat([frame, rows.reindex(columns=[*frame, SCORE])], ignore_index=True)
    result.attrs = frame.attrs
    return result


def scores(path: Path) -> "dict[str, pd.Series]":
    """Metric -> score by question, of the rows of lm-evaluation-harness; empty where none of its tasks was asked.

    Raises:
        BaldroError: as `read`.
    """
    frame = read_table(path)
    rows = frame[frame[SCORE].notna()] if SCORE in frame else frame[:0]
    return {
        name: part.set_index("index")[SCORE].rename_axis(None) for name, part in rows.groupby("section", sort=False)
    }
