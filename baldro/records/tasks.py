"""tasks/{benchmark}.json, by `baldro tasks`: tasks of lm-evaluation-harness that are on this machine, and which they are.

The same tasks give the same text, so that looking at them again reruns nothing; others, or another version of them, give another.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from baldro.records.store import read_record, write_record


@dataclass(frozen=True, kw_only=True)
class Tasks:
    """What is asked."""

    asked: Mapping[str, Any]
    """The benchmark's `lm_eval`, without `batch_size`, which changes no number."""
    package: str
    """Version of lm-evaluation-harness."""
    content: str | None = None
    """A hash of the files of `include_path`; None without it."""
    tasks: Mapping[str, Mapping[str, Any]]
    """Task, those of a group one by one -> `version` and number of `questions`."""


def place(results: Path, benchmark: str) -> Path:
    """Where it is."""
    return results / "tasks" / f"{benchmark}.json"


def write(path: Path, tasks: Tasks) -> None:
    """Store what is asked, whole or not at all."""
    write_record(path, tasks)


def read(path: Path) -> Tasks:
    """What is asked.

    Raises:
        BaldroError: no file of `baldro tasks`.
    """
    return read_record(path, Tasks, made_by="`baldro tasks`")
