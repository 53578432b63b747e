"""A table as plain text for a terminal: a block per split, no wider than the window."""

from io import StringIO
from itertools import accumulate

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from baldro.report.formats import Column, columns, value
from baldro.report.tables import Table


def plain_text(table: Table, *, width: int = 100) -> str:
    """A block per split for a terminal of `width` columns; metrics that do not fit are named below, not squeezed."""
    out, hidden = StringIO(), {}
    console = Console(file=out, width=width, color_system=None, legacy_windows=False)
    for split in table.splits:
        shown = _fitting(table, split, width)
        hidden |= dict.fromkeys(c.head for c in columns(table, split) if c not in shown)
        block = RichTable(box=box.SIMPLE_HEAD, title=f"{table.benchmark}, {table.model}, {split}", title_justify="left")
        block.add_column("Method", overflow="fold")
        for c in shown:
            block.add_column(c.head, justify="right", no_wrap=True)
        for row in table.rows:
            if split not in row.instead and not any(key[0] == split for key in row.cells):
                continue  # not in the grid of this split
            cells = [Text(text + ("*" if bold else " ")) for text, bold in (value(table, row, c) for c in shown)]
            if split in row.instead:
                block.add_row(Text(f"{row.label}: {row.instead[split]}"), *("" for _ in shown))
            else:
                block.add_row(Text(row.label), *cells)
        console.print(block)
    console.print(Text(table.caption.replace("Bold:", "*:")))
    for note in table.footnotes:
        console.print(Text(f"- {note}"))
    if hidden:
        console.print(Text(f"Too wide to show here (see tables/): {', '.join(hidden)}."))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()).strip("\n") + "\n"


def _fitting(table: Table, split: str, width: int) -> list[Column]:
    """The columns that fit: all, or those without the published numbers, or as many of these as there is room for."""
    room = width - 4 - min(max(len(row.label) for row in table.rows), width // 2)

    def taken(column: Column) -> int:
        return 3 + max(len(column.head), *(len(value(table, row, column)[0]) + 1 for row in table.rows))

    every = columns(table, split)
    if sum(map(taken, every)) <= room:
        return every
    ours = [column for column in every if not column.published]
    count = sum(total <= room for total in accumulate(map(taken, ours)))
    return ours[: max(count, 1)]
