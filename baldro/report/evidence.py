"""What is read beside the long table: dynamics of runs, and what Original and Retain know of the forget samples."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from baldro.errors import BaldroError
from baldro.metrics import truth_ratios
from baldro.metrics.evidence import COLUMNS
from baldro.metrics.probability import probability
from baldro.report.style import REFERENCES

DYNAMICS = ("epoch", "index", "nll")


@dataclass(frozen=True, kw_only=True)
class Known:
    """What a model knows of the N forget samples, one value each, ordered by index."""

    probability: np.ndarray
    """(N,) length-normalised probability of the true answer."""
    truth_ratio: np.ndarray | None
    """(N,) likelihood of wrong answers over that of the paraphrased one; None where there are no wrong answers."""


def read_known(frame: pd.DataFrame, results: Path) -> dict[str, dict[str, Known]]:
    """split -> {original, retain} -> evidence, where both models have it. frame: one benchmark and model."""
    found: dict[str, dict[str, Known]] = {}
    rows = frame[frame["objective"].isin(REFERENCES)]
    for row in rows.to_dict("records"):
        path = results / "runs" / row["id"] / "samples.parquet"
        if row["status"] == "ok" and path.is_file():
            found.setdefault(row["split"], {}).setdefault(row["objective"], _known(path))
    return {split: models for split, models in found.items() if len(models) == len(REFERENCES)}


def read_visits(results: Path, run: str) -> pd.DataFrame | None:
    """A run's token NLL each time a forget sample is seen: columns index, visit (0, 1, ...), epoch, nll.

    A sample is seen once an epoch, so its k-th visit falls somewhere in epoch k. None if the run kept no dynamics.
    Errors: a broken file, or an NLL that is not finite.
    """
    path = results / "runs" / run / "dynamics.parquet"
    if not path.is_file():
        return None
    visits = read_parquet(path, DYNAMICS).sort_values(["index", "epoch"], kind="stable").reset_index(drop=True)
    if not np.isfinite(visits["nll"].to_numpy(dtype=float)).all():
        raise BaldroError(f"{path}: nll is not finite; allowed: mean token NLL in nats, 0 or more")
    return visits.assign(visit=visits.groupby("index").cumcount())


def read_parquet(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """Some columns of a parquet file. Errors: unreadable, or a column is not there."""
    try:
        return pd.read_parquet(path, columns=list(columns))
    except (OSError, ValueError, KeyError) as error:
        first = str(error).strip().splitlines()[0]
        raise BaldroError(f"{path} is broken: {first}; allowed: parquet with {', '.join(columns)}") from None


def _known(path: Path) -> Known:
    samples = read_parquet(path, COLUMNS)
    forget = samples[samples["section"] == "forget"]
    answers = forget[forget["candidate"] == "answer"].sort_values("index")
    if answers.empty:
        raise BaldroError(f"{path} has no forget answers; allowed: rows of section forget, candidate answer")
    has_wrong = forget["candidate"].str.startswith("wrong_").any()
    return Known(
        probability=probability(answers["avg_loss"].to_numpy()),
        truth_ratio=truth_ratios(forget) if has_wrong else None,
    )
