"""The one error a user meets: a single line that says what is wrong, where, and what is allowed."""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from functools import wraps
from typing import ParamSpec, TypeVar

P, R = ParamSpec("P"), TypeVar("R")


class BaldroError(ValueError):
    """A mistake in the input or a state that must not be passed over; the command line prints it as one line.

    Args:
        code: what kind of mistake, in a few words with hyphens (*rows-on-two-sides*). Tests match it, so that wording can improve.
        message: what is wrong, where, and what is allowed.
    """

    def __init__(self, code: str, message: str):
        self.code = code
        super().__init__(" ".join(message.split()))


MANY = 20
"""Names that an error still lists beside the nearest one."""


def unknown(what: str, name: object, allowed: Iterable[object], *, where: str = "") -> BaldroError:
    """An error for a name that is not among `allowed`, with the nearest one: *unknown objective 'npoo' (did you mean npo?)*.

    Where one is near, a list of dozens of others would only hide it.
    """
    names = sorted(str(a) for a in allowed)
    near = get_close_matches(str(name), names, n=1, cutoff=0.5)
    hint = f" (did you mean {near[0]}?)" if near else ""
    place = f" in {where}" if where else ""
    code = "-".join(["unknown", *re.findall(r"[a-z]+", what.lower())])
    others = f"{near[0]}, or one of {len(names) - 1} others" if near and len(names) > MANY else ", ".join(names)
    return BaldroError(code, f"unknown {what} {str(name)!r}{place}{hint}; allowed: {others}")


@contextmanager
def placed(where: str) -> Iterator[None]:
    """An error within is raised with its place before it: *model tiny (hub:lab/tiny@main): ...*; its code stays.

    Args:
        where: the file, option or entry that the error is about.
    """
    try:
        yield
    except BaldroError as error:
        raise BaldroError(error.code, f"{where}: {error}") from None


class OutOfMemory(BaldroError):
    """A pass that does not fit the device: what to lower, in one line."""


NO_ROOM = re.compile(r"out of memory|can't allocate memory|not enough memory|_STATUS_ALLOC_FAILED", re.IGNORECASE)
"""In the words of torch's allocators, of the CUDA driver, and of cuBLAS or cuDNN for their own work space."""


def out_of_memory(error: BaseException) -> str | None:
    """What torch says of memory that ran out: how much it asked for, of how much; None if the error is another one.

    Told from its words, since this module does not import torch.
    """
    lines = str(error).splitlines() or [""]
    if type(error).__name__ == "OutOfMemoryError":
        sentences = re.split(r"\.\s", " ".join(lines).removeprefix("CUDA out of memory. "))
        return ". ".join(sentences[:2]).removesuffix(".")
    return lines[0] if isinstance(error, RuntimeError) and NO_ROOM.search(lines[0]) else None


def fits(lower: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A function that says in one line that it ran out of memory.

    Args:
        lower: what makes less of it do.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def within(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return function(*args, **kwargs)
            except Exception as error:
                if not (what := out_of_memory(error)):
                    raise
                raise OutOfMemory("out-of-memory", f"out of memory: {what}; allowed: {lower}") from None

        return within

    return decorate
