"""Where data and weights come from: the first place of a list that is there."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from baldro.errors import BaldroError


@dataclass(frozen=True, kw_only=True)
class Source:
    """A place that was found: a local path, or a repository on the hub with a revision."""

    path: Path | None = None
    hub: str | None = None
    revision: str | None = None

    def __str__(self) -> str:
        return str(self.path) if self.path else f"hub:{self.hub}@{self.revision}"


def resolve(places: Sequence[str], *, what: str) -> Source:
    """The first of `places` that exists; a hub entry counts as existing, so put it last.

    `$NAME` and `~` are expanded; an entry with an unset or empty variable is passed over, one that is set wrongly is an error.
    """
    for place in places:
        if place.startswith("hub:"):
            match = re.fullmatch(r"hub:([\w.-]+/[\w.-]+)@([\w./-]+)", place)
            if not match:
                raise BaldroError(f"{what}: {place!r} is not a place on the hub; allowed: hub:owner/name@revision")
            return Source(hub=match[1], revision=match[2])
        expanded = os.path.expanduser(os.path.expandvars(place))
        if expanded and "$" not in expanded:
            if Path(expanded).exists():
                return Source(path=Path(expanded))
            if "$" in place:
                raise BaldroError(
                    f"{what}: {place} is {expanded}, which is not there; allowed: a path that is, or unset"
                )
    raise BaldroError(f"{what} is not to be found; looked at: {', '.join(places)}")
