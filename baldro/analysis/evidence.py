"""What is read beside the long table: dynamics of runs, and what Original and Retain know of the forget samples."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from baldro.analysis.labels import REFERENCES
from baldro.analysis.samples import RATIOS, Samples
from baldro.errors import BaldroError
from baldro.metrics.forget_quality import forget_quality_d
from baldro.records import dynamics
from baldro.records.metrics import AGAIN


def known(frame: pd.DataFrame, samples: Mapping[str, Samples]) -> dict[str, dict[str, Samples]]:
    """split -> {original, retain} -> values per sample, where both models have them. frame: one benchmark and model.

    Errors: D of Original in metrics.json is not that of the truth ratios in per_sample.parquet.
    """
    found: dict[str, dict[str, Samples]] = {}
    distances = {}
    for row in frame[frame["objective"].isin(REFERENCES)].to_dict("records"):
        if row["id"] in samples:
            found.setdefault(row["split"], {}).setdefault(row["objective"], samples[row["id"]])
            if row["objective"] == "original":
                distances[row["split"]] = row.get("forget_quality_d")
    both = {split: models for split, models in found.items() if len(models) == len(REFERENCES)}
    for split, models in both.items():
        _check_distance(split, models, distances[split])
    return both


def read_visits(results: Path, run: str) -> pd.DataFrame | None:
    """A run's token NLL each time a forget sample is seen: columns index, visit (0, 1, ...), epoch, nll.

    A sample is seen once an epoch, so its k-th visit falls somewhere in epoch k. None if the run kept no dynamics.
    Errors: a broken file, or an NLL that is not finite.
    """
    path = dynamics.place(results, run)
    if not path.is_file():
        return None
    rows = dynamics.read(path)[["epoch", "index", "nll"]]
    visits = rows.sort_values(["index", "epoch"], kind="stable").reset_index(drop=True)
    return visits.assign(visit=visits.groupby("index").cumcount())


def _check_distance(split: str, models: Mapping[str, Samples], recorded: float | None) -> None:
    if recorded is None or pd.isna(recorded) or any(RATIOS not in own for own in models.values()):
        return
    distance = forget_quality_d(models["original"][RATIOS], models["retain"][RATIOS])
    if abs(distance - recorded) > 1e-6:
        raise BaldroError(
            "files-of-two-evaluations",
            f"{split}: metrics.json of Original has D = {recorded:.6g} but its per_sample.parquet and Retain's give "
            f"{distance:.6g}; allowed: metrics of one evaluation ({AGAIN})",
        )
