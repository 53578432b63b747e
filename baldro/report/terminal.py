"""A table as plain text for a terminal: a block per split, no wider than the window."""

from io import StringIO
from itertools import accumulate

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from baldro.report.formats import Column, Shown, columns, value
from baldro.report.tables import Table

EVERY = ("seeds", "samples", "range")
STEPS = (EVERY, ("seeds", "samples"), ("seeds",))
"""What stands beside a number, as `Cell.over` names it: where there is no room, the next of these."""
CORE = 3
"""Metrics that are rather shown without an interval than not at all: the first ones, forget quality, D and utility."""
LEFT_OUT = {"samples": "intervals over samples", "range": "ranges of p over seeds"}


def plain_text(table: Table, *, width: int = 100) -> str:
    """A block per split for a terminal of `width` columns.

    Where there is no room, first the published numbers go, then metrics from the last to the fourth, then the ranges of
    p, then the intervals over samples, then more metrics; below it says so.
    """
    out, hidden, without = StringIO(), {}, {}
    console = Console(file=out, width=width, color_system=None, legacy_windows=False)
    for split in table.splits:
        shown, asides = _fitting(table, split, width)
        there = {value(table, row, column).over for row in table.rows for column in shown}
        without |= {LEFT_OUT[over]: None for over in EVERY if over in there and over not in asides}
        hidden |= dict.fromkeys(c.head for c in columns(table, split) if c not in shown)
        block = RichTable(
            box=box.SIMPLE_HEAD, title=f"{table.title}, {split}", title_justify="left", padding=(0, 0, 0, 1)
        )
        block.add_column(table.head, overflow="fold")
        for c in shown:
            block.add_column(c.head, justify="right", no_wrap=True)
        for row in table.rows:
            if split not in row.instead and not any(key[0] == split for key in row.cells):
                continue  # not in the grid of this split
            if split in row.instead:
                block.add_row(Text(f"{row.label}: {row.instead[split]}"), *("" for _ in shown))
            else:
                block.add_row(Text(row.label), *(Text(_text(value(table, row, c), asides)) for c in shown))
        console.print(block)
    console.print(Text(table.caption.replace("Bold:", "*:")))
    for note in table.footnotes:
        console.print(Text(f"- {note}"))
    if without or hidden:
        console.print(Text(f"Too wide to show here (see tables/): {', '.join([*hidden, *without])}."))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()).strip("\n") + "\n"


def _text(cell: Shown, asides: tuple[str, ...]) -> str:
    """A cell, with a star or the room of one; what says how sure it is only if it is among `asides`."""
    text = cell.whole if cell.over in asides else cell.text
    return text + ("*" if cell.bold else " ")


def _fitting(table: Table, split: str, width: int) -> tuple[list[Column], tuple[str, ...]]:
    """The columns that fit, and what stands beside their numbers."""
    room = width - 4 - min(max(len(row.label) for row in table.rows), width // 2)

    def taken(column: Column, asides: tuple[str, ...]) -> int:
        cells = [len(_text(value(table, row, column), asides)) for row in table.rows if split not in row.instead]
        return 2 + max(len(column.head), *cells, 0)

    every = columns(table, split)
    ours = [column for column in every if not column.published]
    core = CORE + any(not column.metric for column in ours)  # and how many seeds
    kept = range(len(ours), min(core, len(ours)) - 1, -1)
    choices = [(every, EVERY), *((ours[:n], asides) for asides in STEPS for n in kept)]
    for shown, asides in choices:
        if sum(taken(column, asides) for column in shown) <= room:
            return shown, asides
    count = sum(total <= room for total in accumulate(taken(column, STEPS[-1]) for column in ours))
    return ours[: max(count, 1)], STEPS[-1]
