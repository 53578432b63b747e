"""What SLURM jobs were asked for, held and used: results/slurm.jsonl, a line a job that has ended, as the executor appends it.

Nothing of it is a result: the tables of an experiment are the same wherever it ran.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from baldro import runs
from baldro.errors import BaldroError
from baldro.slurm import stopped_by

FILE = "slurm.jsonl"
STAGES = ("finetune", "reference", "unlearn", "follow", "score", "rescore")
"""Rules that SLURM runs, in the order of the workflow; those of one job are a row."""
MADE_FROM = tuple(kind for stage in runs.STAGES.values() if not stage.tabled for kind in stage.kinds)
"""Kinds of runs that make a model which rows start from; they are no rows themselves."""
Job = Mapping[str, Any]
"""A line of the file."""


def read_jobs(results: Path, frame: pd.DataFrame) -> list[Job]:
    """The SLURM jobs of an experiment, in the order in which they ended; none if there is no file.

    Jobs of its rows, and of runs that make models of its benchmarks and models.

    Args:
        results: the folder with slurm.jsonl.
        frame: of `read_frame`.

    Raises:
        BaldroError: a line that is no job; it is named by file and number.
    """
    path = results / FILE
    if not path.is_file():
        return []
    numbered = enumerate(path.read_bytes().split(b"\n"), 1)
    jobs = [_job(line, f"{path}:{number}") for number, line in numbered if line.strip()]
    rows, models = set(frame["id"]), set(zip(frame["benchmark"], frame["model"], strict=True))

    def is_of(run: str) -> bool:
        benchmark, model, _, objective = run.split("--")[:4]
        return run in rows or (objective in MADE_FROM and (benchmark, model) in models)

    return [job for job in jobs if any(map(is_of, job["runs"]))]


def jobs_table(jobs: Sequence[Job]) -> pd.DataFrame:
    """All jobs, a row each; the rules and the runs of one in one field, with blanks between."""
    texts = [{**job, "rules": stage(job), "runs": " ".join(job["runs"])} for job in jobs]
    return pd.DataFrame(texts, columns=list(FIELDS), dtype=object)


def stage(job: Job) -> str:
    """The rules of a job: *finetune*, *unlearn + score*."""
    known = [name for name in STAGES if name in job["rules"]]
    return " + ".join(known + sorted(set(job["rules"]) - set(STAGES)))


def failed_as(job: Job) -> str | None:
    """Why a job failed, in a word or two; None if it did not."""
    if job["state"] == "COMPLETED" or (job["state"] == "UNKNOWN" and not job["reason"]):
        return None
    return stopped_by(job["state"], job["reason"]) or "own error"


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
        raise BaldroError(f"{where}: not JSON ({error}); allowed: one object a line") from None
    if not isinstance(job, dict):
        raise BaldroError(f"{where}: holds {type(job).__name__}; allowed: one object a line")
    for key, (is_fine, allowed) in FIELDS.items():
        if key not in job:
            raise BaldroError(f"{where}: lacks {key}; allowed: {', '.join(FIELDS)}")
        if not is_fine(job[key]):
            raise BaldroError(f"{where}: {key} is {job[key]!r}; allowed: {allowed}")
    return job
