"""runs/{run}/run.json, by `baldro train`: what a training was, what it cost, and with what it was made."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from baldro.records.store import check_run, folder, read_record, write_record

NAME = "run.json"


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A training that is done."""

    run: str
    """The run's id."""
    spec: Mapping[str, Any]
    """Every field of the run."""
    start: str
    """The place of the model that it started from, or `build`."""
    steps: int
    tokens: int
    """Through the model in all steps."""
    seconds: float
    """Of steps, over all its processes."""
    peak_memory_bytes: int
    device: str
    """*cuda: NVIDIA H100*, *cpu: 2 threads*."""
    versions: Mapping[str, str | None]
    """Package -> version."""
    commit: str | None
    """Of the checkout, if it is one."""
    data: str
    """A hash of the benchmark's rows."""
    code: str
    """The fingerprint of what made the weights."""
    finished: str
    """When, in ISO 8601 with a time zone."""


def place(results: Path, run: str) -> Path:
    """Where it is."""
    return folder(results, run) / NAME


def write(path: Path, trained: Trained) -> None:
    """Store it, whole or not at all."""
    write_record(path, trained)


def read(path: Path, *, run: str | None = None) -> Trained:
    """A stored record, of this run if one is named.

    Raises:
        BaldroError: no file of `baldro train`, or another run's.
    """
    trained = read_record(path, Trained, made_by="`baldro train`")
    check_run(path, trained.run, run)
    return trained
