"""slurm.jsonl, by the SLURM executor: what each job was asked for, held and used, a line a job that has ended.

Nothing of it is a result: the tables of an experiment are the same wherever it ran. The executor is a distribution of its own that knows
nothing of this package, so a test holds the two together.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from baldro.durable.files import write_text
from baldro.errors import BaldroError

Job = Mapping[str, Any]
"""A line of the file."""


def place(results: Path) -> Path:
    """Where it is."""
    return results / "slurm.jsonl"


def write(path: Path, jobs: Sequence[Job]) -> None:
    """Store jobs as the executor does, which appends them one by one."""
    write_text(path, "".join(json.dumps(job) + "\n" for job in jobs))


def read(path: Path) -> list[Job]:
    """All jobs, in the order in which they ended; none if there is no file.

    Raises:
        BaldroError: a line that is no job; it is named by file and number.
    """
    if not path.is_file():
        return []
    numbered = enumerate(path.read_bytes().split(b"\n"), 1)
    return [_job(line, f"{path}:{number}") for number, line in numbered if line.strip()]


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_amount(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


def _or_null(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or check(value)


def _is_rules(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_text, value))


def _is_runs(value: Any) -> bool:
    return isinstance(value, list) and all(_is_text(run) and len(run.split("--")) >= 4 for run in value)


FIELDS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "job": (_is_text, "text"),
    "rules": (_is_rules, "a list of names"),
    "runs": (_is_runs, "a list of run ids"),
    "attempt": (_is_count, "a whole number"),
    **dict.fromkeys(("state", "reason", "node", "partition"), (_is_text, "text")),
    **dict.fromkeys(("gpus", "cpus"), (_is_count, "a whole number of at least 0")),
    **dict.fromkeys(("asked_seconds", "held_seconds"), (_is_amount, "a number of at least 0")),
    "used_seconds": (_or_null(_is_amount), "a number of at least 0, or null"),
    **dict.fromkeys(("asked_mb", "used_mb"), (_or_null(_is_amount), "a number of at least 0, or null")),
    **dict.fromkeys(("log", "ended"), (_is_text, "text")),
}
"""Keys of a line in their order, each with what it may be."""


def _job(line: bytes, where: str) -> Job:
    try:
        job = json.loads(line.decode())
    except ValueError as error:
        raise BaldroError("not-json", f"{where}: not JSON ({error}); allowed: one object a line") from None
    if not isinstance(job, dict):
        raise BaldroError("not-an-object", f"{where}: holds {type(job).__name__}; allowed: one object a line")
    for key, (is_fine, allowed) in FIELDS.items():
        if key not in job:
            raise BaldroError("key-missing", f"{where}: lacks {key}; allowed: {', '.join(FIELDS)}")
        if not is_fine(job[key]):
            raise BaldroError("value-not-allowed", f"{where}: {key} is {job[key]!r}; allowed: {allowed}")
    return job
