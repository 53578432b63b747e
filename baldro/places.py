"""Where data and weights come from: the first place of a list that is there. Relative ones begin in the checkout."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from baldro.errors import BaldroError

CHECKOUT = Path(__file__).resolve().parents[1]
"""The folder with models.yaml and benchmarks.yaml: there relative places begin, wherever a command is started."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A place that was found: a local path, or a repository on the hub with a revision."""

    path: Path | None = None
    """From the working directory, if that is the checkout; else absolute."""
    hub: str | None = None
    revision: str | None = None

    @property
    def pinned(self) -> bool:
        """Whether a revision is a full commit, which cannot move; branches and tags can."""
        return bool(re.fullmatch(r"[0-9a-f]{40}", self.revision or ""))

    def __str__(self) -> str:
        return str(self.path) if self.path else f"hub:{self.hub}@{self.revision}"


def resolve(places: Sequence[str], *, what: str) -> Source:
    """The first of `places` that exists; a hub entry counts as existing, so put it last.

    `$NAME` and `~` are expanded; an entry with an unset or empty variable is passed over, one that is set wrongly is an error.
    Relative places begin in the checkout, not in the working directory.
    """
    found = find(places, what=what)
    if found is None:
        elsewhere = next((place for place in places if Path(place).exists()), None)
        begin = (
            f" ({elsewhere} is in the working directory, but relative places begin in {CHECKOUT})" if elsewhere else ""
        )
        raise BaldroError("place-not-found", f"{what} is not to be found; looked at: {', '.join(places)}{begin}")
    return found


def find(places: Sequence[str], *, what: str) -> Source | None:
    """As `resolve`, for what may be absent: None if no place exists."""
    for place in places:
        if place.startswith("hub:"):
            match = re.fullmatch(r"hub:([\w.-]+/[\w.-]+)@([\w./-]+)", place)
            if not match:
                raise BaldroError(
                    "not-a-hub-place", f"{what}: {place!r} is not a place on the hub; allowed: hub:owner/name@revision"
                )
            return Source(hub=match[1], revision=match[2])
        expanded = os.path.expanduser(os.path.expandvars(place))
        if expanded and "$" not in expanded:
            if (CHECKOUT / expanded).exists():
                return Source(path=_from_here(Path(expanded)))
            if "$" in place:
                raise BaldroError(
                    "place-not-found",
                    f"{what}: {place} is {expanded}, which is not there; allowed: unset",
                )
    return None


def _from_here(path: Path) -> Path:
    """A place relative to the checkout as the working directory sees it; in the checkout itself as it is written."""
    at_home = path.is_absolute() or Path.cwd().resolve() == CHECKOUT
    return path if at_home else CHECKOUT / path


def parts(model: Mapping[str, Any]) -> dict[str, Sequence[str]]:
    """Part of a model that has weights -> the places where it may be: base, target, retain90, ..., a checkpoint; none of a built model."""
    others = {**model.get("retain", {}), **model.get("checkpoints", {})}
    listed = {"base": model.get("source"), "target": model.get("target"), **others}
    return {part: places for part, places in listed.items() if places}


def described(model: Mapping[str, Any]) -> dict[str, Sequence[str]]:
    """As `parts`, with all else that a model's description is made from: a tokenizer that has places of its own."""
    own = model.get("tokenizer")
    return {**parts(model), **({"tokenizer": [own] if isinstance(own, str) else own} if own else {})}
