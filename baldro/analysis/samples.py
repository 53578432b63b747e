"""Values per sample, beside each run's metrics: read once a run, for paired tests, distributions and the steps of D."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from baldro.errors import BaldroError
from baldro.metrics import METRICS, RAW_RATIOS, find
from baldro.records import per_sample
from baldro.records.metrics import AGAIN

RATIOS = RAW_RATIOS
"""Truth ratios of the forget samples, as D compares them."""
KEPT = {RATIOS} | {name for m in METRICS.values() if m.paired for name in m.paired.names}
KEPT |= {m.distribution.values or name for name, m in METRICS.items() if m.distribution}
"""Values per sample that the report uses, of metrics that can be listed."""
Samples = Mapping[str, pd.Series]
"""metric -> value by sample index."""


def read_samples(path: Path, metrics: Mapping[str, float]) -> Samples:
    """The values per sample that the report uses, in the order of their index.

    metrics: of the same run. Errors: no such file, broken, values that are not finite, an index twice, or a mean that
    is not the metric.
    """
    table = per_sample.read(path)
    further = {name for name in metrics if name not in METRICS and (metric := find(name)) and metric.paired}
    table = table[table["metric"].isin(KEPT | further)]
    if not np.isfinite(table["value"].to_numpy(dtype=float)).all() or table.duplicated(["metric", "index"]).any():
        raise BaldroError(
            "bad-values-per-sample",
            f"{path} has a value that is not finite, or an index twice; allowed: one number a sample",
        )
    table = table.sort_values("index", kind="stable")
    values, at = table["value"].to_numpy(dtype=float), table["index"].to_numpy()
    places = table.groupby("metric", sort=False).indices
    found = {name: pd.Series(values[rows], index=at[rows]) for name, rows in places.items()}
    for name, values in found.items():
        if name in metrics and abs(values.mean() - metrics[name]) > 1e-6:
            raise BaldroError(
                "files-of-two-evaluations",
                f"{path}: the mean {name} is {values.mean():.6g} but metrics.json says {metrics[name]:.6g}; "
                f"allowed: two files of one evaluation ({AGAIN})",
            )
    return found


def forget_rows(samples: Samples | None) -> int | None:
    """How many forget samples D is of; None where there are no truth ratios."""
    return len(samples[RATIOS]) if samples and RATIOS in samples else None


def stacked(runs: Sequence[Samples], names: Sequence[str]) -> np.ndarray:
    """(K, S, N) values of K metrics of S runs on the same N samples. Errors: not the same samples everywhere."""
    first = runs[0][names[0]].index
    for name in names:
        if any(not samples[name].index.equals(first) for samples in runs):
            raise BaldroError(
                "samples-differ",
                f"{name}: runs to compare have values of other samples; allowed: the same index in all",
            )
    return np.stack([[samples[name].to_numpy(dtype=float) for samples in runs] for name in names])


def have(runs: Iterable[Samples | None], names: Iterable[str]) -> bool:
    """Whether every run has values of every metric."""
    wanted = list(names)
    return all(samples is not None and all(name in samples for name in wanted) for samples in runs)
