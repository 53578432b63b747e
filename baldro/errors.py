"""The one error a user meets: a single line that says what is wrong, where, and what is allowed."""

from collections.abc import Iterable
from difflib import get_close_matches


class BaldroError(ValueError):
    """A mistake in the input or a state that must not be passed over; the command line prints it as one line."""

    def __init__(self, message: str):
        super().__init__(" ".join(message.split()))


def unknown(what: str, name: object, allowed: Iterable[object], *, where: str = "") -> BaldroError:
    """An error for a name that is not among `allowed`, with the nearest one: *unknown objective 'npoo' (did you mean npo?)*."""
    names = sorted(str(a) for a in allowed)
    near = get_close_matches(str(name), names, n=1, cutoff=0.5)
    hint = f" (did you mean {near[0]}?)" if near else ""
    place = f" in {where}" if where else ""
    return BaldroError(f"unknown {what} {str(name)!r}{place}{hint}; allowed: {', '.join(names)}")
