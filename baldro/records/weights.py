"""weights/{model}/{part}.json and classifiers/{benchmark}.json, by `baldro download`: weights that are on this machine, and which they are.

The same weights give the same text, so that bringing them back to an emptied cache reruns nothing; others give another.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from baldro.records.store import read_record, write_record


@dataclass(frozen=True, kw_only=True)
class Weights:
    """What is in a place of weights."""

    place: str
    """As it was asked for: hub:owner/name@revision, a folder or a GGUF file."""
    commit: str | None
    """Of the hub; None of a local place."""
    content: str | None = None
    """A hash of the files of a local place; None of the hub."""
    bytes: int
    files: Mapping[str, int]
    """File -> bytes."""

    @property
    def settled(self) -> str:
        """The place, with the commit in place of a branch or tag that may move."""
        return f"{self.place.rpartition('@')[0]}@{self.commit}" if self.commit else self.place


def place(results: Path, model: str, part: str) -> Path:
    """Where it is of a part of a model."""
    return results / "weights" / model / f"{part}.json"


def write(path: Path, weights: Weights) -> None:
    """Store a record of weights, whole or not at all."""
    write_record(path, weights)


def read(path: Path) -> Weights:
    """A stored record of weights.

    Raises:
        BaldroError: no file of `baldro download`.
    """
    return read_record(path, Weights, made_by="`baldro download`")
