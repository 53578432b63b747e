"""results/runs -> one long table, a row a run. Every table and figure reads it, not the files.

Columns, in this order: id, the run's fields, status (ok, failed, missing), reason, the metrics, what the run cost, then
definitions (a hash of what the metrics mean), forget_rows (samples behind D), absent (JSON: metric -> why it could not
be computed), and {metric}_low, {metric}_high: the 95 % interval over samples of each metric that has one.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from baldro.analysis.labels import REFERENCES
from baldro.analysis.samples import Samples, forget_rows, read_samples
from baldro.errors import BaldroError
from baldro.metrics import METRICS
from baldro.records import failure, per_sample
from baldro.records import metrics as evaluations
from baldro.records import run as trainings
from baldro.runs import HYPERPARAMETERS, IDENTITY
from baldro.stages import STAGE_OF, STAGES

COSTS = ("seconds", "steps", "tokens", "tokens_per_second", "peak_memory_bytes")
POINT = ("parent", *HYPERPARAMETERS)
"""Fields that tell runs of a method apart; `parent` is a column only where a run has one."""
NO_RESULT = "no result; see its log"
INTERVAL = ("{}_low", "{}_high")


def read_frame(*, runs: list[dict[str, Any]], results: Path, allow_missing: bool = False) -> pd.DataFrame:
    """The long table of an experiment, as `read_results` gives it."""
    return read_results(runs=runs, results=results, allow_missing=allow_missing)[0]


def read_results(
    *, runs: list[dict[str, Any]], results: Path, allow_missing: bool = False
) -> tuple[pd.DataFrame, dict[str, Samples]]:
    """The long table of an experiment, and the values per sample of every run that has a result, by id.

    runs: {id, benchmark, model, split, objective, variant, hyperparameters ...}, in the order of the rows.
    Errors: no run at all; a broken file; a run without metrics, unless allow_missing makes it a row;
    metrics of two runs that were computed by different definitions.
    """
    if not runs:
        raise BaldroError("no-runs", "no runs to report; allowed: at least one")
    rows = [_row(run, results) for run in runs]
    lacking = [row for row in rows if row["status"] != "ok"]
    if lacking and not allow_missing:
        more = f" (and {len(lacking) - 1} more)" if len(lacking) > 1 else ""
        raise BaldroError(
            "run-without-result",
            f"run {lacking[0]['id']} {_outcome(lacking[0])}{more}; allowed: a result for every run, or --allow-missing",
        )
    _same_definitions(rows)
    metrics = {name for row in rows for name in row["metrics"]}
    ordered = [name for name in METRICS if name in metrics] + sorted(metrics - set(METRICS))
    point = [name for name in POINT if name == "seed" or any(run.get(name) is not None for run in runs)]
    fields = [*IDENTITY, *point]
    ends = [
        column.format(name) for name in ordered if any(name in row["intervals"] for row in rows) for column in INTERVAL
    ]
    columns = ["id", *fields, "status", "reason", *ordered, *COSTS, "definitions", "forget_rows", "absent", *ends]
    flat = [run | _flat(row) for run, row in zip(runs, rows, strict=True)]
    frame = pd.DataFrame(flat, columns=columns, dtype=object).astype(dict.fromkeys((*ordered, *ends), float)).copy()
    return frame, {row["id"]: row["samples"] for row in rows if row["samples"] is not None}


def interval_of(row: Mapping[str, Any], name: str) -> tuple[float, float] | None:
    """A row's 95 % interval over samples of a metric; None where it has none. row: of a frame, or a mapping like it."""
    low, high = (row.get(column.format(name)) for column in INTERVAL)
    return None if _absent(low) or _absent(high) else (low, high)


def absent_of(row: Mapping[str, Any]) -> dict[str, str]:
    """Metrics that a run could not be given, each with the reason."""
    text = row.get("absent")
    return {} if _absent(text) else json.loads(text)


def metric_names(frame: pd.DataFrame) -> list[str]:
    """The metric columns of a frame."""
    columns = list(frame.columns)
    return columns[columns.index("reason") + 1 : columns.index(COSTS[0])]


def hyperparameter_names(frame: pd.DataFrame) -> list[str]:
    """The columns of a frame that tell the points of a method apart: the parent, and hyperparameters without the seed."""
    return [name for name in frame.columns if name in POINT and name != "seed"]


def is_method(frame: pd.DataFrame) -> pd.Series:
    """True for rows that unlearn, False for Original and Retain."""
    return ~frame["objective"].isin(REFERENCES)


def values_of(row: Mapping[str, Any], names: list[str]) -> dict[str, Any]:
    """A row's values of some fields; what is absent (None or NaN) is None."""
    return {name: None if _absent(row[name]) else row[name] for name in names}


def read_provenance(frame: pd.DataFrame, results: Path) -> list[trainings.Trained]:
    """What is recorded of every run that was trained."""
    paths = [trainings.place(results, run) for run in frame["id"]]
    return [trainings.read(path) for path in paths if path.is_file()]


def _row(run: Mapping[str, Any], results: Path) -> dict[str, Any]:
    blank: dict[str, Any] = {"id": run["id"], "reason": None, "metrics": {}, "costs": {}, "samples": None}
    blank |= {"definitions": None, "intervals": {}, "absent": {}}
    # A failure left beside a result is the later one: training removes it when it starts anew.
    if (failed := failure.place(results, run["id"])).is_file():
        return blank | {"status": "failed", "reason": failure.read(failed).reason}
    if not (evaluated := evaluations.place(results, run["id"])).is_file():
        return blank | {"status": "missing", "reason": NO_RESULT}
    evaluation = evaluations.read(evaluated, run=run["id"])
    return {
        **blank,
        **{name: getattr(evaluation, name) for name in ("definitions", "metrics", "intervals", "absent")},
        "status": "ok",
        "samples": read_samples(per_sample.place(results, run["id"]), evaluation.metrics),
        "costs": _costs(run, trainings.place(results, run["id"])),
    }


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row's columns beside the run's fields, those that it has."""
    found = {name: row[name] for name in ("status", "reason", "definitions")} | row["metrics"] | row["costs"]
    found |= {"forget_rows": forget_rows(row["samples"])}
    found |= {"absent": json.dumps(row["absent"], sort_keys=True) if row["absent"] else None}
    intervals = row["intervals"].items()
    return found | {c.format(name): end for name, ends in intervals for c, end in zip(INTERVAL, ends, strict=True)}


def _same_definitions(rows: list[dict[str, Any]]) -> None:
    done = [row for row in rows if row["definitions"] is not None]
    for row in done:
        if row["definitions"] != done[0]["definitions"]:
            raise BaldroError(
                "definitions-differ",
                f"metrics of {done[0]['id']} and {row['id']} were computed by different definitions "
                f"({done[0]['definitions']}, {row['definitions']}); allowed: one definition in an experiment ({evaluations.AGAIN})",
            )


def _costs(run: Mapping[str, Any], path: Path) -> dict[str, float]:
    if not path.is_file():
        if not STAGES[STAGE_OF[run["objective"]]].trains:  # its model is trained by another run
            return {}
        raise BaldroError(
            "run-record-missing",
            f"{path} is not there, though the run has metrics; allowed: the record that training writes",
        )
    trained = trainings.read(path, run=run["id"])
    rate = trained.tokens / trained.seconds if trained.seconds else None
    return {name: rate if name == "tokens_per_second" else getattr(trained, name) for name in COSTS}


def _outcome(row: Mapping[str, Any]) -> str:
    return f"failed: {row['reason']}" if row["status"] == "failed" else "has no result (see its log)"


def _absent(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
