"""The long frame -> the paper's Table 1, one per benchmark and model: methods down, splits and metrics across."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from baldro.report.frame import metric_names
from baldro.report.rows import Row, build_rows, footnotes, mark_best
from baldro.report.selection import Selected, describe, select
from baldro.report.style import TABLE_METRICS, check_metrics, hyperparameter_label, metric

PUBLISHED = Path(__file__).with_name("published.csv")
PUBLISHED_TABLES = ("baldro-table1", "baldro-table2")


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table, not yet written in any format."""

    benchmark: str
    model: str
    splits: tuple[str, ...]
    metrics: tuple[str, ...]
    rows: tuple[Row, ...]
    published: Mapping[tuple[str, str, str, str], float]
    """(split, objective, variant, metric) -> the paper's number."""
    caption: str
    footnotes: tuple[str, ...]

    def has_published(self, split: str, name: str) -> bool:
        """Whether any row of a column has a published number, and so the column a second one."""
        return any((split, row.objective, row.variant, name) in self.published for row in self.rows)


def build_tables(
    frame: pd.DataFrame, rule: Mapping[str, Any], metrics: Sequence[str] | None = None, *, level: float = 0.95
) -> list[Table]:
    """One table per (benchmark, model), in the frame's order.

    metrics: names in the order of the columns; by default those of the paper's table that the benchmark has.
    """
    selected = select(frame, rule)
    tables = []
    for benchmark, model in dict.fromkeys(zip(frame["benchmark"], frame["model"], strict=True)):
        part = selected.frame[(selected.frame["benchmark"] == benchmark) & (selected.frame["model"] == model)]
        whole = frame[(frame["benchmark"] == benchmark) & (frame["model"] == model)]
        rejected = [r for r in selected.rejected if (r["benchmark"], r["model"]) == (benchmark, model)]
        tables.append(_table(part, whole, replace(selected, rejected=tuple(rejected)), rule, metrics, level))
    return tables


@cache
def published_numbers(benchmark: str, model: str) -> dict[tuple[str, str, str, str], float]:
    """(split, objective, variant, metric) -> the paper's number, as a third party transcribed its Tables 1 and 2."""
    rows = pd.read_csv(PUBLISHED)
    rows = rows[rows["source"].isin(PUBLISHED_TABLES) & (rows["benchmark"] == benchmark) & (rows["model"] == model)]
    keys = zip(rows["forget"], rows["objective"], rows["variant"], rows["metric"], strict=True)
    return dict(zip(keys, rows["value"], strict=True))


def tidy(table: Table) -> pd.DataFrame:
    """A table as numbers, a row per method, split and metric: mean, ends of the interval, runs, published, outcome."""
    rows = []
    for row in table.rows:
        for split in table.splits:
            for name in table.metrics:
                cell = row.cells.get((split, name))
                rows.append(
                    {
                        "benchmark": table.benchmark,
                        "model": table.model,
                        "split": split,
                        "method": row.label,
                        "objective": row.objective,
                        "variant": row.variant,
                        "hyperparameters": hyperparameter_label(row.hyperparameters),
                        "metric": name,
                        "mean": cell and cell.mean,
                        "low": cell and cell.low,
                        "high": cell and cell.high,
                        "runs": cell.n if cell else 0,
                        "best": bool(cell and cell.best),
                        "published": table.published.get((split, row.objective, row.variant, name)),
                        "outcome": row.instead.get(split, "ok" if cell else "not run"),
                    }
                )
    return pd.DataFrame(rows)


def _table(part: pd.DataFrame, whole: pd.DataFrame, selected: Selected, rule, metrics, level: float) -> Table:
    benchmark, model = whole["benchmark"].iloc[0], whole["model"].iloc[0]
    if metrics is not None:
        check_metrics(list(metrics), metric_names(whole), where="the table")
    names, splits = _columns(whole, metrics), tuple(dict.fromkeys(whole["split"]))
    rows = list(build_rows(part, whole, selected, names, level))
    published = published_numbers(benchmark, model)
    table = Table(
        benchmark=benchmark,
        model=model,
        splits=splits,
        metrics=names,
        rows=tuple(mark_best(rows, splits, names)),
        published={key: value for key, value in published.items() if key[0] in splits and key[3] in names},
        caption="",
        footnotes=tuple(footnotes(part, whole, selected)),
    )
    return replace(table, caption=_caption(table, describe(rule, whole), level))


def _columns(whole: pd.DataFrame, metrics: Sequence[str] | None) -> tuple[str, ...]:
    if metrics is not None:
        return tuple(metrics)
    present = [name for name in metric_names(whole) if whole[name].notna().any()]
    usual = tuple(name for name in TABLE_METRICS if name in present)
    return usual or tuple(present[: len(TABLE_METRICS)]) or TABLE_METRICS[:3]


def _caption(table: Table, rule: str, level: float) -> str:
    names = "; ".join(f"{m.short} {m.arrow}".strip() + f": {m.label}" for m in map(metric, table.metrics))
    several = any(cell.n > 1 for row in table.rows for cell in row.cells.values())
    shown = (
        f"mean ± half the {level:.0%} interval over seeds; p: mean and range"
        if several
        else "one run each, so no interval"
    )
    text = f"{table.benchmark}, {table.model} ({shown}). {names}. {rule}"
    bold = " and, p aside, those of which one lies in the other's interval" if several else ""
    text += f" Bold: the best mean among the unlearning methods of a split{bold}."
    text += " The goal of unlearning is the row Retain: values beyond it say that more was destroyed than forgotten."
    if table.published:
        text += (
            " Published: the paper's numbers as transcribed by a third party (one seed, hyperparameters not stated)."
        )
    return text
