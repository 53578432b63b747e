"""The paper's tables: under each of our rows the published one, and ours minus it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import pandas as pd

from baldro.analysis.frame import is_method, metric_names
from baldro.analysis.labels import metric
from baldro.analysis.published import Held, hold, hold_p
from baldro.analysis.rows import Cell, Row
from baldro.report.paper.layout import Shown
from baldro.report.tables import Table, pieces, table_of, tidy
from baldro.report.words import paragraph

Place = tuple[int, str, str]
"""(place among the rows, split, metric)."""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A table of ours, with what is published beside it."""

    name: str
    """Key of EXHIBITS."""
    ours: Table
    held: Mapping[Place, Held]
    """Of every number that both have."""

    @property
    def published(self) -> int:
        """How many numbers are published of its rows."""
        rows = {(row.objective, row.variant) for row in self.ours.rows}
        return sum(key[1:3] in rows for key in self.ours.published)

    @property
    def table(self) -> Table:
        """As it is shown: where numbers are published, two rows more under each of ours."""
        rows = [each for at, row in enumerate(self.ours.rows) for each in (row, *self._beside(at, row))]
        without = [split for split in self.ours.splits if all(key[0] != split for key in self.ours.published)]
        notes = [paragraph("paper", "unpublished", splits=without)] if without else []
        caption = f"{self.ours.caption} {paragraph('paper', 'beside')}" if self.ours.published else self.ours.caption
        return replace(
            self.ours, rows=tuple(rows), published={}, caption=caption, footnotes=(*self.ours.footnotes, *notes)
        )

    @property
    def numbers(self) -> pd.DataFrame:
        """As `tidy`, with the columns difference, inside and d_steps."""
        table, places = self.ours, range(len(self.ours.rows))
        held = [self.held.get((at, split, name)) for at in places for split in table.splits for name in table.metrics]
        columns = {key: [h and getattr(h, key) for h in held] for key in ("difference", "inside", "steps")}
        return tidy(table).assign(**columns).rename(columns={"steps": "d_steps"})

    def _beside(self, at: int, row: Row) -> Iterator[Row]:
        """The published row and the difference, of a row that has any."""
        theirs = {
            (split, name): Cell(mean=value, low=None, high=None, n=0)
            for (split, objective, variant, name), value in self.ours.published.items()
            if (objective, variant) == (row.objective, row.variant)
        }
        if not theirs:
            return
        named = {"objective": row.objective, "variant": row.variant, "hyperparameters": {}, "instead": {}}
        yield Row(cells=theirs, name=paragraph("paper", "published"), **named)
        apart = {
            (split, name): Cell(
                mean=h.difference, low=None, high=None, n=0, signed=True, remark=paragraph("paper", "held", held=h)
            )
            for (place, split, name), h in self.held.items()
            if place == at
        }
        if apart:
            yield Row(cells=apart, name=paragraph("paper", "difference"), **named)


def compared(each: Shown) -> list[Compared]:
    """The tables of an exhibit that has a source, one a benchmark and model."""
    found = []
    for part, whole, selected in pieces(each.frame, each.rule):
        asked = each.exhibit.metrics
        present = {name for name in metric_names(whole) if whole[name].notna().any()}
        names = tuple(name for name in asked if name in present) or asked
        beside = {"topic": each.exhibit.title, "file": each.exhibit.file}
        table = table_of(part, whole, selected, each.rule, names, asked, sources=(each.exhibit.source,), **beside)
        found.append(Compared(name=each.name, ours=table, held=dict(_held(table, whole))))
    return found


def _held(table: Table, whole: pd.DataFrame) -> Iterator[tuple[Place, Held]]:
    sizes = {split: _sizes(whole[whole["split"] == split]) for split in table.splits}
    for at, row in enumerate(table.rows):
        for (split, name), ours in row.cells.items():
            value, m = table.published.get((split, row.objective, row.variant, name)), metric(name)
            if value is None or (row.objective == "retain" and m.retain_itself is not None):
                continue  # of the retain model itself it is so by construction
            if m.p_value:
                yield (at, split, name), hold_p(ours, value, row.cells.get((split, m.statistic_behind)), sizes[split])
            else:
                yield (at, split, name), hold(ours, value)


def _sizes(rows: pd.DataFrame) -> tuple[int, int] | None:
    """Samples behind D of a split: of the methods, and of the retain model."""
    rows = rows[rows["forget_rows"].notna()]
    both = rows[is_method(rows)]["forget_rows"], rows[rows["objective"] == "retain"]["forget_rows"]
    return None if any(own.empty for own in both) else tuple(int(own.iloc[0]) for own in both)
