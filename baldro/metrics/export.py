"""Our results as a published evaluation log, so that they can be held against public tables, and our retain models be used there."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from baldro.benchmarks.definition import ATTACKS
from baldro.metrics.definitions import Results, probabilities, ratios
from baldro.metrics.evidence import Absent, Evidence
from baldro.metrics.metric import Value
from baldro.metrics.published import SHORT, names, places

TEXTS = {"question": "input", "text": "ground_truth", "generation": "generation"}
"""Our name of a text -> a log's."""


def to_log(model: Evidence, results: Results) -> dict[str, Any]:
    """`results` of `model` in open-unlearning's format: {metric: {agg_value, value_by_index}}; what is absent is left out."""
    log: dict[str, Any] = {}
    for (section, column), (keys, key) in places(model.kind).items():
        try:
            values = model.column(section, column)
        except Absent:
            continue
        entry = log
        for name in keys:
            entry = entry.setdefault(name, {})
        _put(entry, key, values, model.texts(section).index.get_level_values("index").unique())
    _add_texts(log, model)
    _add_made(log, model, results)
    for name, theirs in names(model.kind).items():
        if name in results.values:
            log.setdefault(theirs, {})["agg_value"] = results.values[name].value
    return log


def _put(entry: dict[str, Any], key: str, values: pd.Series | pd.DataFrame, order: Iterable[int] | None = None) -> None:
    """The samples' values under `key`, and their mean as the aggregate (`to_log` puts a metric's own value over it).

    Args:
        order: every sample of the section, one without a value as null; the values' own by default.
    """
    samples, told = (
        entry.setdefault("value_by_index", {}),
        dict(zip(values.index, values.to_numpy().tolist(), strict=True)),
    )
    for index in values.index if order is None else order:
        samples.setdefault(str(index), {})[key] = told.get(index)
    if key != "avg_loss":
        rows = values.to_numpy().reshape(len(values), -1)
        entry["agg_value"] = float(np.mean(rows.mean(axis=1)))


def _add_texts(log: dict[str, Any], model: Evidence) -> None:
    for (section, column), (keys, _) in places(model.kind).items():
        if column != "rougeL_recall" or keys[0] not in log:
            continue
        texts = model.texts(section)
        answers = texts.xs("answer", level="candidate")
        keep = {key: name for name, key in TEXTS.items() if name in answers}
        for index, sample in log[keys[0]]["value_by_index"].items():
            sample |= {key: answers.at[int(index), name] for key, name in keep.items()}


def _add_made(log: dict[str, Any], model: Evidence, results: Results) -> None:
    """Entries that are made from other columns: truth ratios, normalised probabilities, attacks' areas, reference scores."""
    asked = {section.name: section for section in model.benchmark.sections}
    made = {f"{name}_truth_ratio": (name, ratios, "score") for name in SHORT}
    made |= {
        f"{name}_probability": (name, probabilities, "prob") for name in SHORT if name in asked and asked[name].options
    }
    for metric, (section, values, key) in made.items():
        if metric in results.values:
            _put(log.setdefault(names(model.kind)[metric], {}), key, values(model, section))
    for attack in ATTACKS:
        value = results.values.get(f"mia_{attack}")
        if value is None:
            log.pop(f"mia_{attack}", None)
            continue
        entry = log.setdefault(f"mia_{attack}", {})
        if "forget" not in entry:
            _put_parts(entry, value, log.get("mia_loss", {}).get("holdout", {}).get("value_by_index", {}))
        entry["auc"] = value.value


def _put_parts(entry: dict[str, Any], value: Value, holdout: Mapping[str, Any]) -> None:
    """Scores made of two models' losses; the holdout's samples are numbered as in the loss attack's entry."""
    members, others = value.parts
    index = value.per_sample.index if value.per_sample is not None else range(len(members))
    _put(entry.setdefault("forget", {}), "score", pd.Series(members, index=index))
    _put(entry.setdefault("holdout", {}), "score", pd.Series(others, index=[*map(int, holdout)]))
