"""Which hyperparameter points are shown. The rule is part of the config, and every caption states it.

`{rule: all}` shows every distinct point (all fields but the seed). For each benchmark, model, split, objective and
variant `{rule: best, metric: M, lower: false, subject_to: {metric: C, at_least: 0.95, of: original}}` shows the point
with the best mean of M over its seeds, among those whose mean of C is at least 0.95 times Original's. Ties go to the
grid's first point.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from baldro.analysis.frame import hyperparameter_names, is_method, metric_names
from baldro.analysis.labels import check_metrics
from baldro.runs import FIELDS, IDENTITY

CELL = list(IDENTITY)
NONE_MEETS = "no run meets the rule"


@dataclass(frozen=True, kw_only=True)
class Selected:
    """The rows that a rule keeps."""

    frame: pd.DataFrame
    """Original and Retain, the chosen points' rows, and the failed rows of a cell that has nothing else."""
    rejected: tuple[dict[str, Any], ...]
    """Cells (benchmark, model, split, objective, variant) of which no point meets the rule, each with a reason."""
    by_point: bool
    """True if every point is a table row; False if each cell has one point."""


def select(frame: pd.DataFrame, rule: Mapping[str, Any], *, per: tuple[str, ...] = ()) -> Selected:
    """The rows of `frame` that the rule keeps; with `per`, it looks for a best point per value of those fields."""
    if rule["rule"] == "all":
        return Selected(frame=frame, rejected=(), by_point=True)
    if (frame["status"] == "ok").any():
        check_metrics([rule["metric"]], metric_names(frame), where="selection")
        check_metrics(_columns(rule)[1:], metric_names(frame), where="selection.subject_to")
    kept, rejected = list(frame.index[~is_method(frame)]), []
    per = (*lineage(frame), *per)
    for key, cell in frame[is_method(frame)].groupby([*CELL, *per], sort=False, dropna=False):
        chosen, reason = _best(frame, cell, rule)
        kept += list(chosen)
        if reason:
            rejected.append({**dict(zip([*CELL, *per], key, strict=True)), "reason": reason})
    return Selected(frame=frame.loc[sorted(kept)], rejected=tuple(rejected), by_point=False)


def points(frame: pd.DataFrame, names: list[str]) -> pd.Series:
    """Each row's hyperparameters as one key, *dv_beta=5 lr=1e-05*; absent values are left out."""
    rows = frame[names].to_dict("records") if names else [{}] * len(frame)
    keys = [" ".join(f"{name}={value}" for name, value in row.items() if not pd.isna(value)) for row in rows]
    return pd.Series(keys, index=frame.index, dtype=object)


def lineage(frame: pd.DataFrame) -> list[str]:
    """The column that says whose model a run starts from, if a run of the frame starts from another row's."""
    return ["parent"] if "parent" in frame and frame["parent"].notna().any() else []


def varying(frame: pd.DataFrame) -> list[str]:
    """What tells rows of a table apart: parents, and hyperparameters that differ within a split, for one variant or between variants.

    A field that only one variant has (beta_dv of baldro-dv) does not vary by being absent elsewhere; one at its default, which is there
    or not as fields before it say (lora_alpha with lora_rank), tells nothing more.
    """
    groups = {"within": list(zip(frame["split"], frame["variant"], strict=True)), "between": list(frame["split"])}
    found = lineage(frame)
    for name in hyperparameter_names(frame):
        if name in found or not _varies(frame[name], **groups):
            continue
        usual = set(frame[name].dropna()) == {FIELDS[name]["default"]}
        if not (usual and _follows(frame, name, found)):
            found.append(name)
    return found


def _best(frame: pd.DataFrame, cell: pd.DataFrame, rule: Mapping[str, Any]) -> tuple[pd.Index, str | None]:
    """The index of the chosen point's rows (failed seeds included), or nothing and the reason."""
    done = cell[cell["status"] == "ok"]
    if done.empty:
        return cell.index, None
    keys = points(cell, hyperparameter_names(frame))
    means = done.groupby(keys[done.index], sort=False)[_columns(rule)].mean()
    if bound := rule.get("subject_to"):
        limit = _limit(frame, cell.iloc[0], bound)
        if limit is None:
            return cell.index[:0], f"no result of {bound['of']} to hold the rule against"
        value = means[bound["metric"]]
        means = means[value >= limit] if "at_least" in bound else means[value <= limit]
    means = means.dropna(subset=[rule["metric"]])
    if means.empty:
        return cell.index[:0], NONE_MEETS
    scores = means[rule["metric"]]
    best = scores.idxmin() if rule.get("lower") else scores.idxmax()  # the first of equals
    return cell.index[keys == best], None


def _varies(values: pd.Series, *, within: list[Any], between: list[Any]) -> bool:
    """Two values of one (split, variant), one of which may be absent; or two of one split, neither absent."""
    keys = [None if pd.isna(value) else value for value in values]
    present = {(group, key) for group, key in zip(between, keys, strict=True) if key is not None}
    every = set(zip(within, keys, strict=True))
    return len(every) > len(set(within)) or len(present) > len({group for group, _ in present})


def _follows(frame: pd.DataFrame, name: str, others: list[str]) -> bool:
    """Whether rows that agree in other fields agree in this one too."""
    keys = list(frame[others].astype(object).fillna("").itertuples(index=False, name=None))
    return len(set(keys)) == len(set(zip(keys, frame[name].astype(object).fillna(""), strict=True)))


def _columns(rule: Mapping[str, Any]) -> list[str]:
    bound = rule.get("subject_to") or {}
    return list(dict.fromkeys([rule["metric"], bound.get("metric", rule["metric"])]))


def _limit(frame: pd.DataFrame, cell: pd.Series, bound: Mapping[str, Any]) -> float | None:
    """The bound as a number: the factor itself, or times the mean of the model that it refers to."""
    factor = bound.get("at_least", bound.get("at_most"))
    if bound.get("of") is None:
        return factor
    same = (frame["objective"] == bound["of"]) & (frame["status"] == "ok")
    for name in ("benchmark", "model", "split"):
        same &= frame[name] == cell[name]
    value = frame.loc[same, bound["metric"]].mean()
    return None if pd.isna(value) else factor * value
