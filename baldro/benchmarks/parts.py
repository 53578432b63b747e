"""Forget splits that are cut into parts, each a request of its own: the rows in their order, every part as long as the others."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from baldro.errors import BaldroError

if TYPE_CHECKING:
    import pandas as pd

PERTURBED = "{}_perturbed"
"""What TOFU's schema calls the wrong answers and paraphrases of a forget split."""


def size(split: str, rows: int, parts: Sequence[str]) -> int:
    """Rows of each part.

    Raises:
        BaldroError: parts that cannot have one size.
    """
    if rows % len(parts):
        raise BaldroError(
            "parts-uneven",
            f"parts: {split} has {rows} rows; allowed: a number of parts that divides them, not {len(parts)}",
        )
    return rows // len(parts)


def cut(frame: "pd.DataFrame", parts: Mapping[str, Sequence[str]] | None, *, kept: Collection[str]) -> "pd.DataFrame":
    """A benchmark's table with the parts of its forget splits.

    Args:
        parts: forget split -> names of its parts; None: the table stays as it is.
        kept: the forget splits that are asked for; what is cut and is none of them is left out.

    Raises:
        BaldroError: as `size`.
    """
    if not parts:
        return frame
    import pandas as pd

    pieces = [frame]
    for whole, names in parts.items():
        for form in ("{}", PERTURBED):
            rows = frame[frame["split"] == form.format(whole)]
            length = size(whole, len(rows), names)
            for i, name in enumerate(names):
                own = rows.iloc[i * length : (i + 1) * length]
                pieces.append(own.assign(split=form.format(name), index=own["index"] - i * length))
    gone = {form.format(whole) for whole in parts if whole not in kept for form in ("{}", PERTURBED)}
    found = pd.concat(pieces, ignore_index=True)
    found = found[~found["split"].isin(gone)].reset_index(drop=True)
    found.attrs = frame.attrs
    return found
