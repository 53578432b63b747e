"""A table as Markdown and as an HTML fragment, and what every format shares: its columns, and the text of a cell."""

import math
from dataclasses import dataclass, replace
from itertools import groupby

from baldro.analysis.labels import REFERENCES, metric
from baldro.analysis.rows import Cell, Row
from baldro.report.style import DASH, ends_text, metric_number, range_text, signed
from baldro.report.tables import Table
from baldro.report.words import environment

WIDEST = 10
"""Most columns of numbers that stand side by side."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of numbers: ours, the paper's beside it, or how many seeds ours are of."""

    split: str
    metric: str
    """Empty for the seeds."""
    published: bool = False

    @property
    def head(self) -> str:
        if not self.metric:
            return "seeds"
        shown = metric(self.metric)
        return "published" if self.published else f"{shown.short} {shown.arrow}".strip()

    @property
    def title(self) -> str:
        """The head, written out."""
        if not self.metric:
            return "runs that the numbers are of"
        return f"published {metric(self.metric).label}" if self.published else metric(self.metric).label


def columns(table: Table, split: str) -> list[Column]:
    """The columns of one split: seeds where methods differ in them, then each metric, published numbers after theirs."""
    found = [Column(split=split, metric="")] if len(table.seeds) > 1 else []
    for name in table.metrics:
        found.append(Column(split=split, metric=name))
        if table.has_published(split, name):
            found.append(Column(split=split, metric=name, published=True))
    return found


def split_columns(table: Table) -> dict[str, list[Column]]:
    """split -> its columns. They depend on every row, so a format takes them once and not row by row."""
    return {split: columns(table, split) for split in table.splits}


def cell_text(cell: Cell, name: str) -> tuple[str, str]:
    """A number and what says how sure it is.

    *0.412* and *± 0.010*, half the interval over seeds, or its ends where the metric's range cuts it;
    *(0.36-0.58)*, p over the seeds; *[0.38, 0.55]*, the interval
    over samples of one run.
    """
    text = signed(cell.mean, name) if cell.signed else metric_number(cell.mean, name)
    if cell.low is None:
        return text, cell.remark
    if cell.over == "seeds" and math.isclose(cell.low + cell.high, 2 * cell.mean, abs_tol=1e-9):
        return text, f"± {metric_number((cell.high - cell.low) / 2, name)}"
    if cell.over == "range":
        return text, range_text(cell.low, cell.high)
    return text, ends_text(cell.low, cell.high, name)


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What stands in a cell."""

    text: str
    """The number, or a dash."""
    aside: str = ""
    """How sure it is, see `cell_text`; empty where nothing says so."""
    over: str = ""
    """Over what the aside is, as in `Cell`."""
    bold: bool = False

    @property
    def whole(self) -> str:
        return f"{self.text} {self.aside}".strip()


def value(table: Table, row: Row, column: Column) -> Shown:
    """What stands in a cell."""
    if not column.metric:
        return Shown(text=str(row.seeds(column.split) or DASH))
    if column.published:
        paper = table.published.get((column.split, row.objective, row.variant, column.metric))
        return Shown(text=DASH if paper is None else metric_number(paper, column.metric))
    cell = row.cells.get((column.split, column.metric))
    if cell is None:
        return Shown(text=DASH)
    text, aside = cell_text(cell, column.metric)
    return Shown(text=text, aside=aside, over=cell.over, bold=cell.bold)


def blocks(table: Table) -> list[Table]:
    """The table itself if its splits fit side by side, otherwise one narrower table a split, without empty rows."""
    if sum(map(len, split_columns(table).values())) <= WIDEST:
        return [table]
    parts = []
    for split in table.splits:
        rows = [row for row in table.rows if split in row.instead or any(key[0] == split for key in row.cells)]
        parts.append(replace(table, splits=(split,), rows=tuple(rows)))
    return parts


def grouped(table: Table) -> list[tuple[str, list[Row]]]:
    """The rows by objective, Original and Retain as one group, for the rules between them."""
    groups = groupby(table.rows, key=lambda row: "reference" if row.objective in REFERENCES else row.objective)
    return [(name, list(rows)) for name, rows in groups]


def markdown(table: Table) -> str:
    """GitHub's pipe tables, with the split in every head since Markdown has no spanning cells."""
    bodies = [_markdown_block(part) for part in blocks(table)]
    return "\n\n".join([*bodies, table.caption, *(f"- {note}" for note in table.footnotes)]) + "\n"


def html(table: Table) -> str:
    """Semantic tables with spanning heads per split and row heads, then the notes."""
    template = environment(page=True).get_template("table.html.j2")
    return template.render(table=table, blocks=blocks, split_columns=split_columns, grouped=grouped, value=value)


def _markdown_block(table: Table) -> str:
    of_split = split_columns(table)
    every = [column for own in of_split.values() for column in own]
    lines = [[table.head, *(f"{c.split} {c.head}" for c in every)], ["---", *("---:" for _ in every)]]
    for row in table.rows:
        line = [_pipe(row.label)]
        for split, own in of_split.items():
            if split in row.instead:
                line += [f"*{_pipe(row.instead[split])}*", *("" for _ in own[1:])]
            else:
                shown = (value(table, row, c) for c in own)
                line += [f"**{cell.text}** {cell.aside}".strip() if cell.bold else cell.whole for cell in shown]
        lines.append(line)
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _pipe(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("*", "\\*").replace("_", "\\_")
