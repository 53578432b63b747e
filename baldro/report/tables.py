"""The long frame -> the paper's Table 1, one per benchmark and model: methods down, splits and metrics across."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from baldro.analysis.frame import absent_of, metric_names
from baldro.analysis.labels import REFERENCES, check_metrics, hyperparameter_label, metric
from baldro.analysis.rows import Row, build_rows, mark_best
from baldro.analysis.selection import Selected, select
from baldro.metrics import MAIN_COLUMNS, METRICS, shown
from baldro.metrics.metric import MAIN, SECOND
from baldro.report.notes import absent_notes, lattice_notes, point_notes
from baldro.report.words import describe, paragraph

PUBLISHED = Path(__file__).with_name("published.csv")
PUBLISHED_TABLES = ("baldro-table1", "baldro-table2", "wmdp-table1")


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
    topic: str = ""
    """What a table beside the main one is about."""
    file: str = ""
    """What the names of its files end in, beside the main one's."""
    head: str = "Method"
    """Above the rows' labels."""

    @property
    def title(self) -> str:
        return table_title(self.benchmark, self.model, self.topic)

    @property
    def stem(self) -> str:
        """Of the files that hold it."""
        return "--".join([self.benchmark, self.model, *([self.file] if self.file else [])])

    @property
    def seeds(self) -> frozenset[int]:
        """How many runs the methods' numbers are of; more than one count is a column of its own."""
        return seeds(self.rows, self.splits)

    def has_published(self, split: str, name: str) -> bool:
        """Whether any row of a column has a published number, and so the column a second one."""
        return any((split, row.objective, row.variant, name) in self.published for row in self.rows)


def table_title(benchmark: str, model: str, topic: str = "") -> str:
    """*tofu, llama-2-7b-chat*, and what the table is about."""
    return f"{benchmark}, {model}" + (f": {topic}" if topic else "")


def seeds(rows: Sequence[Row], splits: Sequence[str]) -> frozenset[int]:
    """How many runs the methods' numbers are of."""
    methods = [row for row in rows if row.objective not in REFERENCES]
    return frozenset(n for row in methods for split in splits if (n := row.seeds(split)))


def build_tables(
    frame: pd.DataFrame, rule: Mapping[str, Any], metrics: Sequence[str] | None = None, *, level: float = 0.95
) -> list[Table]:
    """The main table of each (benchmark, model), in the frame's order.

    metrics: names in the order of the columns; by default those of the paper's table that the benchmark has.
    """
    tables = []
    for part, whole, selected in pieces(frame, rule):
        names, asked = _usual(whole), _usual(whole, absent=True)
        if metrics is not None:
            if (whole["status"] == "ok").any():
                check_metrics(list(metrics), [*metric_names(whole), *_uncomputed(whole)], where="the table")
            asked = tuple(metrics)
            names = tuple(name for name in asked if name in _present(whole)) or asked
        tables.append(table_of(part, whole, selected, rule, names, asked, level))
    return tables


def collapse_tables(frame: pd.DataFrame, rule: Mapping[str, Any], *, level: float = 0.95) -> list[Table]:
    """The table *membership and collapse* of each (benchmark, model) whose results have metrics of it, PrivLeak aside."""
    tables, beside = [], {"topic": "membership and collapse", "file": "membership"}
    for part, whole, selected in pieces(frame, rule):
        present = _present(whole)
        names = tuple(shown(SECOND, present))
        if set(names) - set(usual_columns(present)):
            tables.append(table_of(part, whole, selected, rule, names, shown(SECOND), level, **beside))
    return tables


@cache
def published_numbers(
    benchmark: str, model: str, sources: tuple[str, ...] = PUBLISHED_TABLES
) -> dict[tuple[str, str, str, str], float]:
    """(split, objective, variant, metric) -> the published number: BalDRO's Tables 1, 2 and WMDP's, as third parties transcribed them."""
    rows = pd.read_csv(PUBLISHED)
    rows = rows[rows["source"].isin(sources) & (rows["benchmark"] == benchmark) & (rows["model"] == model)]
    keys = zip(rows["forget"], rows["objective"], rows["variant"], rows["metric"], strict=True)
    return dict(zip(keys, rows["value"], strict=True))


def tidy(table: Table) -> pd.DataFrame:
    """A table as numbers, a row per method, split and metric.

    mean, low and high with what they are (`over`: seeds, samples, range), runs behind them, published, outcome.
    """
    rows = []
    for row in table.rows:
        for split in table.splits:
            for name in table.metrics:
                cell = row.cells.get((split, name))
                of_row = {"method": row.label, "objective": row.objective, "variant": row.variant}
                of_row |= {"hyperparameters": hyperparameter_label(row.hyperparameters), "metric": name}
                numbers = {key: cell and getattr(cell, key) for key in ("mean", "low", "high")}
                numbers |= {"over": cell.over or None if cell else None, "runs": cell.n if cell else 0}
                published = table.published.get((split, row.objective, row.variant, name))
                outcome = row.instead.get(split, "ok" if cell else "not run")
                what = {"best": bool(cell and cell.best), "published": published, "outcome": outcome}
                where = {"benchmark": table.benchmark, "model": table.model, "split": split}
                rows.append(where | of_row | numbers | what)
    return pd.DataFrame(rows)


def pieces(frame: pd.DataFrame, rule: Mapping[str, Any]):
    """(rows that the rule kept, all rows, the selection) of each benchmark and model."""
    selected = select(frame, rule)
    for benchmark, model in dict.fromkeys(zip(frame["benchmark"], frame["model"], strict=True)):
        part = selected.frame[(selected.frame["benchmark"] == benchmark) & (selected.frame["model"] == model)]
        whole = frame[(frame["benchmark"] == benchmark) & (frame["model"] == model)]
        rejected = tuple(r for r in selected.rejected if (r["benchmark"], r["model"]) == (benchmark, model))
        yield part, whole, replace(selected, rejected=rejected)


def table_of(
    part,
    whole,
    selected: Selected,
    rule,
    names: tuple[str, ...],
    asked,
    level: float = 0.95,
    sources: tuple[str, ...] = PUBLISHED_TABLES,
    **beside: str,
) -> Table:
    """A table of what `pieces` gives.

    Args:
        asked: the columns that it would have if every metric could be computed.
        sources: of the published numbers.
        beside: topic and file, if it is not the main table.
    """
    benchmark, model = whole["benchmark"].iloc[0], whole["model"].iloc[0]
    splits = tuple(dict.fromkeys(whole["split"]))
    behind = [metric(name).statistic_behind for name in names if metric(name).statistic_behind]
    needed = (*names, *(name for name in behind if name not in names))
    rows = tuple(mark_best(list(build_rows(part, whole, selected, needed, level)), splits, needed))
    published = published_numbers(benchmark, model, sources)
    published = {key: value for key, value in published.items() if key[0] in splits and key[3] in names}
    notes = [*point_notes(part, whole, selected), *absent_notes(part, whole, asked)]
    for name in [name for name in needed if name in {m.statistic_behind for m in METRICS.values()}]:
        notes += lattice_notes(rows, whole, splits, name)
    text = paragraph(
        "captions",
        "table",
        title=table_title(benchmark, model, beside.get("topic", "")),
        metrics=[metric(name) for name in names],
        over={cell.over for row in rows for key, cell in row.cells.items() if key[1] in names},
        seeds=seeds(rows, splits),
        level=f"{level:.0%}",
        rule=describe(rule, whole),
        published=published,
    )
    return Table(
        benchmark=benchmark,
        model=model,
        splits=splits,
        metrics=names,
        rows=rows,
        published=published,
        caption=text,
        footnotes=tuple(notes),
        **beside,
    )


def _uncomputed(whole: pd.DataFrame) -> set[str]:
    """Metrics that some run could not be given."""
    return {name for row in whole.to_dict("records") for name in absent_of(row)}


def _present(whole: pd.DataFrame) -> list[str]:
    return [name for name in metric_names(whole) if whole[name].notna().any()]


def _usual(whole: pd.DataFrame, *, absent: bool = False) -> tuple[str, ...]:
    """The benchmark's usual columns: those of the set of which the results have most; `absent` ones too if asked."""
    present = _present(whole)
    usual = usual_columns(present)
    columns = tuple(name for name in usual if absent or name in present)
    return columns or tuple(present[: len(usual)]) or usual[:3]


def usual_columns(present: Sequence[str]) -> tuple[str, ...]:
    """The columns that a benchmark names, of the kind of which the results have most; then metrics that say MAIN."""
    named = max(MAIN_COLUMNS.values(), key=lambda names: len(set(names) & set(present)))
    return (*named, *(name for name in shown(MAIN, present) if name not in named))
