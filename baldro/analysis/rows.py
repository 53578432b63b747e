"""The rows of a table: methods and their points, values with their intervals, and what is bold."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from baldro.analysis.frame import interval_of, values_of
from baldro.analysis.labels import REFERENCES, method_label, metric, objective_rank, variant_rank
from baldro.analysis.selection import Selected, lineage, points, varying
from baldro.metrics import find
from baldro.runs import FIELDS
from baldro.stats import mean_interval


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One number of a table."""

    mean: float
    low: float | None
    """Lower end of what `over` names; None where there is nothing of it."""
    high: float | None
    n: int
    """How many runs the mean is of."""
    over: str = ""
    """What low and high are: *seeds* (95 % interval of the mean), *samples* (of one run), *range* (of p over seeds)."""
    best: bool = False
    """True if it is the best of the split's methods, or one of the two values lies in the other's interval.

    Of a difference, if it is significant.
    """
    bold: bool = False
    """Whether it is shown in bold: `best`, and few are."""
    signed: bool = False
    """True for a difference, whose sign is written."""
    remark: str = ""
    """Words in place of an interval."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A method, or one of its hyperparameter points."""

    objective: str
    variant: str
    hyperparameters: Mapping[str, Any]
    """The fields that tell the row from others of its method."""
    cells: Mapping[tuple[str, str], Cell]
    """(split, metric) -> number."""
    instead: Mapping[str, str]
    """split -> what stands there in place of numbers: *failed: ...*, or *no run meets the rule*."""
    name: str = ""
    """Its label, where that is not the method's."""

    @property
    def label(self) -> str:
        return self.name or method_label(self.objective, self.variant, self.hyperparameters)

    def seeds(self, split: str) -> int:
        """How many runs the row's numbers of a split are of: the most of any metric."""
        return max((cell.n for key, cell in self.cells.items() if key[0] == split), default=0)


def build_rows(
    part: pd.DataFrame, whole: pd.DataFrame, selected: Selected, names: tuple[str, ...], level: float
) -> Iterator[Row]:
    """Every row of a table, Original and Retain first.

    part: the rows that the rule kept; whole: all of one benchmark and model, which says how points are named.
    """
    for method in methods(whole):
        yield from _rows(part, whole, selected, method, names, level)


def methods(frame: pd.DataFrame) -> list[tuple[str, str]]:
    """(objective, variant) of a frame's rows, in the order of the tables."""
    found = dict.fromkeys(zip(frame["objective"], frame["variant"], strict=True))
    return sorted(found, key=lambda method: (objective_rank(method[0]), variant_rank(method[1])))


def _rows(part, whole, selected: Selected, method: tuple[str, str], names: tuple[str, ...], level: float):
    """The rows of one (objective, variant): one per point, or the chosen one, which may differ between splits."""
    objective, variant = method
    alike = whole[whole["objective"] == objective]
    fields = varying(alike) if selected.by_point else lineage(alike)
    own = part[(part["objective"] == objective) & (part["variant"] == variant)]
    of_method = [r for r in selected.rejected if (r["objective"], r["variant"]) == method]
    found = [(values_of(rows.iloc[0], fields), rows) for _, rows in own.groupby(points(own, fields), sort=False)]
    for values, rows in sorted(found, key=lambda one: _natural(one[0])) or [
        ({}, own)
    ]:  # none where the rule rejected them all
        cells, instead = {}, {r["split"]: r["reason"] for r in of_method}
        for split, own_split in rows.groupby("split", sort=False):
            done = own_split[own_split["status"] == "ok"]
            if done.empty:
                instead[split] = outcome(own_split.iloc[0])
            present = [name for name in names if name in done and done[name].notna().any()]
            cells |= {(split, name): cell_of(done[done[name].notna()], name, level) for name in present}
        shown = {name: value for name, value in values.items() if value is not None}
        yield Row(objective=objective, variant=variant, hyperparameters=shown, cells=cells, instead=instead)


def _natural(values: Mapping[str, Any]) -> list[tuple[bool, float, bool, str]]:
    """Sorting key of a point: numbers by size, words with the field's default first."""
    return [
        (isinstance(v, str), v if isinstance(v, int | float) else 0, v != FIELDS[name]["default"], str(v))
        for name, v in values.items()
    ]


def outcome(row: Mapping[str, Any]) -> str:
    """*failed: loss is NaN at step 12*."""
    return f"{row['status']}: {row['reason']}"


def cell_of(rows: pd.DataFrame, name: str, level: float = 0.95) -> Cell:
    """The cell of the runs of one point. A p-value gets no interval: a t-interval of it would leave [0, 1]."""
    values = rows[name].astype(float).tolist()
    if len(values) == 1:
        ends = interval_of(rows.iloc[0].to_dict(), name)
        low, high = ends or (None, None)
        return Cell(mean=values[0], low=low, high=high, n=1, over="samples" if ends else "")
    if metric(name).p_value:
        return Cell(mean=sum(values) / len(values), low=min(values), high=max(values), n=len(values), over="range")
    interval, defined = mean_interval(values, level=level), find(name)
    low, high = interval.low, interval.high
    if defined:  # a t interval knows no range; what lies outside is no value of the metric
        low, high = max(low, defined.low), min(high, defined.high)
    return Cell(mean=interval.mean, low=low, high=high, n=interval.n, over="seeds")


def mark_best(rows: list[Row], splits: tuple[str, ...], names: tuple[str, ...]) -> list[Row]:
    """Mark, per split and metric with a direction, the methods not distinguishable from the best one, and what is bold of them.

    Bold says something: it is at most half of the methods. A p-value is bold where its statistic is, whose interval it lacks.
    """
    best, bold = set(), set()
    for split in splits:
        alike = {name: _not_worse(rows, split, name) for name in names if metric(name).better}
        best |= {(i, split, name) for name, own in alike.items() for i in own}
        for name in alike:
            own = alike.get(metric(name).statistic_behind, alike[name])
            methods = sum((split, name) in row.cells for row in rows if row.objective not in REFERENCES)
            bold |= {(i, split, name) for i in own if 2 * len(own) <= methods}
    return [
        replace(
            row,
            cells={
                key: replace(cell, best=(i, *key) in best, bold=(i, *key) in bold) for key, cell in row.cells.items()
            },
        )
        for i, row in enumerate(rows)
    ]


def _not_worse(rows: list[Row], split: str, name: str) -> set[int]:
    """Places of the best method and, p-values aside, of those whose mean lies within its interval."""
    methods = {i: row.cells.get((split, name)) for i, row in enumerate(rows) if row.objective not in REFERENCES}
    cells = {i: cell for i, cell in methods.items() if cell is not None}
    if not cells:
        return set()
    best = (max if metric(name).better == "up" else min)(cells.values(), key=lambda cell: cell.mean)
    # The interval of a mean p-value reaches down to 0: it would tie everything with everything.
    alone = metric(name).p_value or best.low is None
    low, high = (best.mean, best.mean) if alone else (best.low, best.high)
    return {i for i, cell in cells.items() if cell.mean == best.mean or low <= cell.mean <= high}
