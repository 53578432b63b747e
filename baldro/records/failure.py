"""runs/{run}/failed.json, by `baldro train`: why a training failed. Left beside a result, it is the later of the two."""

from dataclasses import dataclass
from pathlib import Path

from baldro.errors import BaldroError
from baldro.records.store import folder, read_record, write_record

NAME = "failed.json"


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A run that has failed."""

    run: str
    """Its id."""
    stage: str
    """What it was doing: train."""
    reason: str


def place(results: Path, run: str) -> Path:
    """Where it is."""
    return folder(results, run) / NAME


def write(path: Path, failure: Failure) -> None:
    """Store it, whole or not at all."""
    write_record(path, failure)


def read(path: Path) -> Failure:
    """A stored failure.

    Raises:
        BaldroError: no file of `baldro train`, or one without a reason.
    """
    failure = read_record(path, Failure, made_by="`baldro train`")
    if not failure.reason:
        raise BaldroError("reason-missing", f"{path} gives no reason; allowed: run, stage, reason")
    return failure
