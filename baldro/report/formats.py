"""A table as Markdown and as an HTML fragment, and what every format shares: its columns, and the text of a cell."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from html import escape
from itertools import groupby

from baldro.report.rows import Cell, Row
from baldro.report.style import DASH, REFERENCES, metric, number
from baldro.report.tables import Table

WIDEST = 10
"""Most columns of numbers that stand side by side."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of numbers: ours, or the paper's beside it."""

    split: str
    metric: str
    published: bool = False

    @property
    def head(self) -> str:
        shown = metric(self.metric)
        return "published" if self.published else f"{shown.short} {shown.arrow}".strip()


def columns(table: Table, split: str) -> list[Column]:
    """The columns of one split: each metric, with the published number after it where there is any."""
    found = []
    for name in table.metrics:
        found.append(Column(split=split, metric=name))
        if table.has_published(split, name):
            found.append(Column(split=split, metric=name, published=True))
    return found


def cell_text(cell: Cell, name: str) -> str:
    """*0.412*, *0.412 ± 0.010* with half the width of the interval over seeds, or for p its range: *0.47 (0.36-0.58)*."""
    p_value = metric(name).p_value
    text = number(cell.mean, p_value=p_value)
    if cell.low is None:
        return text
    if p_value:
        return f"{text} ({number(cell.low, p_value=True)}-{number(cell.high, p_value=True)})"
    return f"{text} ± {number((cell.high - cell.low) / 2)}"


def value(table: Table, row: Row, column: Column) -> tuple[str, bool]:
    """What stands in a cell, and whether it is bold."""
    if column.published:
        paper = table.published.get((column.split, row.objective, row.variant, column.metric))
        return (DASH if paper is None else number(paper, p_value=metric(column.metric).p_value)), False
    cell = row.cells.get((column.split, column.metric))
    return (DASH, False) if cell is None else (cell_text(cell, column.metric), cell.best)


def blocks(table: Table) -> list[Table]:
    """The table itself if its splits fit side by side, otherwise one narrower table a split, without empty rows."""
    if sum(len(columns(table, split)) for split in table.splits) <= WIDEST:
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
    bodies = [_html_block(part) for part in blocks(table)]
    notes = "".join(f"<li>{escape(note)}</li>" for note in table.footnotes)
    below = f'<div class="notes"><p>{escape(table.caption)}</p>{f"<ul>{notes}</ul>" if notes else ""}</div>'
    return "\n".join([*bodies, below])


def _markdown_block(table: Table) -> str:
    every = [column for split in table.splits for column in columns(table, split)]
    lines = [["Method", *(f"{c.split} {c.head}" for c in every)], ["---", *("---:" for _ in every)]]
    for row in table.rows:
        line = [_pipe(row.label)]
        for split in table.splits:
            own = columns(table, split)
            if split in row.instead:
                line += [f"*{_pipe(row.instead[split])}*", *("" for _ in own[1:])]
            else:
                line += [f"**{text}**" if bold else text for text, bold in (value(table, row, c) for c in own)]
        lines.append(line)
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _html_block(table: Table) -> str:
    heads, names = [], []
    for split in table.splits:
        own = columns(table, split)
        heads.append(f'<th scope="colgroup" colspan="{len(own)}" class="split">{escape(split)}</th>')
        for i, c in enumerate(own):
            title = f"published {metric(c.metric).label}" if c.published else metric(c.metric).label
            abbreviation = f'<abbr title="{escape(title)}">{escape(c.head)}</abbr>'
            names.append(f'<th scope="col" class="{_kind(i, c)}">{abbreviation}</th>')
    bodies = []
    for name, rows in grouped(table):
        lines = [f'<tr><th scope="row">{escape(r.label)}</th>{"".join(_html_cells(table, r))}</tr>' for r in rows]
        bodies.append("\n".join([f'<tbody class="{escape(name)}">', *lines, "</tbody>"]))
    title = escape(f"{table.benchmark}, {table.model}: {', '.join(table.splits)}")
    return "\n".join(
        [
            f'<div class="scroll wide" tabindex="0" role="region" aria-label="{title}">',
            f'<table>\n<caption class="hidden">{title}</caption>',
            f'<thead>\n<tr><th rowspan="2" scope="col">Method</th>{"".join(heads)}</tr>',
            f"<tr>{''.join(names)}</tr>\n</thead>",
            *bodies,
            "</table>\n</div>",
        ]
    )


def _html_cells(table: Table, row: Row) -> Iterator[str]:
    for split in table.splits:
        own = columns(table, split)
        if split in row.instead:
            yield f'<td colspan="{len(own)}" class="first instead">{escape(row.instead[split])}</td>'
            continue
        for i, column in enumerate(own):
            text, bold = value(table, row, column)
            shown = f"<strong>{escape(text)}</strong>" if bold else escape(text)
            yield f'<td class="{_kind(i, column)}">{shown}</td>'


def _kind(place: int, column: Column) -> str:
    return " ".join([*(["first"] if place == 0 else []), *(["published"] if column.published else [])])


def _pipe(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("*", "\\*").replace("_", "\\_")
