"""results/runs -> one long table, a row a run. Every table and figure reads it, not the files.

Columns, in this order: id, the run's fields, status (ok, failed, missing), reason, the metrics, then what the run cost.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from baldro.errors import BaldroError
from baldro.grid import HYPERPARAMETERS, IDENTITY
from baldro.report.style import METRICS, REFERENCES

COSTS = ("seconds", "steps", "tokens", "tokens_per_second", "peak_memory_bytes")
NO_RESULT = "no result; see its log"


def read_frame(*, runs: list[dict[str, Any]], results: Path, allow_missing: bool = False) -> pd.DataFrame:
    """The long table of an experiment.

    runs: {id, benchmark, model, split, objective, variant, hyperparameters ...}, in the order of the rows.
    Errors: no run at all; a file that is there but broken; a run without metrics, unless allow_missing makes it a row.
    """
    if not runs:
        raise BaldroError("no runs to report; allowed: at least one")
    rows = [_row(run, results / "runs" / run["id"]) for run in runs]
    lacking = [row for row in rows if row["status"] != "ok"]
    if lacking and not allow_missing:
        more = f" (and {len(lacking) - 1} more)" if len(lacking) > 1 else ""
        raise BaldroError(
            f"run {lacking[0]['id']} {_outcome(lacking[0])}{more}; allowed: a result for every run, or --allow-missing"
        )
    metrics = {name for row in rows for name in row["metrics"]}
    ordered = [name for name in METRICS if name in metrics] + sorted(metrics - set(METRICS))
    fields = [*IDENTITY, *(name for name in HYPERPARAMETERS if any(name in run for run in runs))]
    columns: dict[str, pd.Series] = {name: _objects(run.get(name) for run in runs) for name in ("id", *fields)}
    columns |= {name: _objects(row[name] for row in rows) for name in ("status", "reason")}
    columns |= {name: pd.Series([row["metrics"].get(name) for row in rows], dtype=float) for name in ordered}
    columns |= {name: _objects(row["costs"].get(name) for row in rows) for name in COSTS}
    return pd.DataFrame(columns)


def metric_names(frame: pd.DataFrame) -> list[str]:
    """The metric columns of a frame."""
    columns = list(frame.columns)
    return columns[columns.index("reason") + 1 : columns.index(COSTS[0])]


def hyperparameter_names(frame: pd.DataFrame) -> list[str]:
    """The hyperparameter columns of a frame, without the seed."""
    return [name for name in frame.columns if name in HYPERPARAMETERS and name != "seed"]


def is_method(frame: pd.DataFrame) -> pd.Series:
    """True for rows that unlearn, False for Original and Retain."""
    return ~frame["objective"].isin(REFERENCES)


def values_of(row: Mapping[str, Any], names: list[str]) -> dict[str, Any]:
    """A row's values of some fields; what is absent (None or NaN) is None."""
    return {name: None if _absent(row[name]) else row[name] for name in names}


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. Errors: unreadable, or not an object."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BaldroError(f"{path} is not readable JSON: {error}") from None
    if not isinstance(content, dict):
        raise BaldroError(f"{path} holds a {type(content).__name__}; allowed: a JSON object")
    return content


def read_provenance(frame: pd.DataFrame, results: Path) -> list[dict[str, Any]]:
    """run.json of every run that has one: {run, versions, commit, device, start}."""
    paths = [results / "runs" / run / "run.json" for run in frame["id"]]
    return [read_json(path) for path in paths if path.is_file()]


def _row(run: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    blank: dict[str, Any] = {"id": run["id"], "reason": None, "metrics": {}, "costs": {}}
    # A failure left beside a result is the later one: training removes it when it starts anew.
    if (folder / "failed.json").is_file():
        failure = read_json(folder / "failed.json")
        if not failure.get("reason"):
            raise BaldroError(f"{folder / 'failed.json'} gives no reason; allowed: run, stage, reason")
        return blank | {"status": "failed", "reason": str(failure["reason"])}
    if not (folder / "metrics.json").is_file():
        return blank | {"status": "missing", "reason": NO_RESULT}
    return blank | {
        "status": "ok",
        "metrics": _metrics(run, folder / "metrics.json"),
        "costs": _costs(run, folder / "run.json"),
    }


def _metrics(run: Mapping[str, Any], path: Path) -> dict[str, float]:
    content = read_json(path)
    _same_run(run, content, path)
    metrics = content.get("metrics")
    if not isinstance(metrics, dict) or not metrics:
        raise BaldroError(f"{path} has no metrics; allowed: {{run, metrics: {{name: number}}}}")
    for name, value in metrics.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise BaldroError(f"{path}: {name} is {value!r}; allowed: a finite number")
    return {name: float(value) for name, value in metrics.items()}


def _costs(run: Mapping[str, Any], path: Path) -> dict[str, float]:
    if not path.is_file():
        if run["objective"] in REFERENCES:  # they are trained by runs of their own, which are no rows
            return {}
        raise BaldroError(f"{path} is not there, though the run has metrics; allowed: the record that training writes")
    content = read_json(path)
    _same_run(run, content, path)
    missing = [name for name in ("seconds", "steps", "tokens", "peak_memory_bytes") if name not in content]
    if missing:
        raise BaldroError(f"{path} lacks {missing[0]}; allowed: seconds, steps, tokens, peak_memory_bytes")
    seconds = content["seconds"]
    rate = content["tokens"] / seconds if seconds and content["tokens"] is not None else None
    return {name: rate if name == "tokens_per_second" else content[name] for name in COSTS}


def _same_run(run: Mapping[str, Any], content: Mapping[str, Any], path: Path) -> None:
    if content.get("run") != run["id"]:
        raise BaldroError(f"{path} belongs to run {content.get('run')!r}; allowed: {run['id']!r}")


def _outcome(row: Mapping[str, Any]) -> str:
    return f"failed: {row['reason']}" if row["status"] == "failed" else "has no result (see its log)"


def _objects(values: Any) -> pd.Series:
    return pd.Series(list(values), dtype=object)


def _absent(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
