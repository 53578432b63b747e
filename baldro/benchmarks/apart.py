"""Rows that must not stand in two splits, counted: where many do, a number would be wrong; a few are noted."""

from collections import Counter
from collections.abc import Collection, Sequence

from baldro.errors import BaldroError

FEW = 0.05
"""Share of rows up to which a fault of the data is noted, not refused: it moves an AUC by 0.025 and a mean of shares by 0.05 at most."""

Pair = tuple[str, str]
"""Question and answer."""


def plain(pair: Pair) -> Pair:
    """A row as it is compared: white space and case are no difference."""
    question, answer = (" ".join(text.split()).casefold() for text in pair)
    return question, answer


def few(
    count: int,
    total: int,
    text: str,
    *,
    where: object,
    allowed: str,
    of: int | None = None,
    code: str = "rows-on-two-sides",
) -> list[str]:
    """What to note of `count` faulty rows of `total`: nothing, or a line.

    Args:
        of: rows that the share is taken of, if not of `total`.
        code: of the error.

    Raises:
        BaldroError: more than FEW of the rows.
    """
    if not count:
        return []
    said = f"{where}: {count} of {total} rows {text}"
    if count > FEW * (total if of is None else of):
        raise BaldroError(code, f"{said}; allowed: {allowed}")
    return [said]


def apart(rows: Sequence[Pair], others: Collection[Pair], text: str, *, where: object, allowed: str) -> list[str]:
    """What to note of rows that stand in `others` too; their share is of the smaller of both."""
    known = {plain(pair) for pair in others}
    count = sum(plain(pair) in known for pair in rows)
    return few(count, len(rows), text, where=where, allowed=allowed, of=min(len(rows), len(others)))


def doubles(name: str, rows: Sequence[Pair], *, where: object) -> list[str]:
    """What to note of rows that stand more than once in a split: they weigh more."""
    again = sum(count - 1 for count in Counter(map(plain, rows)).values())
    return [f"{where}: {again} of {len(rows)} rows of {name} stand there already, and weigh more"] if again else []
