"""The SLURM jobs of an experiment: which of all they are, as a table, why some failed, and how much of what they asked for they used."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from baldro.records import slurm
from baldro.records.slurm import Job
from baldro.runs import STAGES as RUN_STAGES
from baldro.slurm import stopped_by

STAGES = ("finetune", "reference", "unlearn", "unlearn_kept", "unlearn_lasting", "score")
"""Rules that SLURM runs, in the order of the workflow; those of one job are a row."""
MADE_FROM = tuple(kind for stage in RUN_STAGES.values() if not stage.tabled for kind in stage.kinds)
"""Kinds of runs that make a model which rows start from; they are no rows themselves."""


def read_jobs(results: Path, frame: pd.DataFrame) -> list[Job]:
    """The SLURM jobs of an experiment, in the order in which they ended; none if there is no file.

    Jobs of its rows, and of runs that make models of its benchmarks and models.

    Args:
        results: the folder with slurm.jsonl.
        frame: of `read_frame`.

    Raises:
        BaldroError: a line that is no job; it is named by file and number.
    """
    jobs = slurm.read(slurm.place(results))
    rows, models = set(frame["id"]), set(zip(frame["benchmark"], frame["model"], strict=True))

    def is_of(run: str) -> bool:
        benchmark, model, _, objective = run.split("--")[:4]
        return run in rows or (objective in MADE_FROM and (benchmark, model) in models)

    return [job for job in jobs if any(map(is_of, job["runs"]))]


def jobs_table(jobs: Sequence[Job]) -> pd.DataFrame:
    """All jobs, a row each; the rules and the runs of one in one field, with blanks between."""
    texts = [{**job, "rules": stage(job), "runs": " ".join(job["runs"])} for job in jobs]
    return pd.DataFrame(texts, columns=list(slurm.FIELDS), dtype=object)


def stage(job: Job) -> str:
    """The rules of a job: *finetune*, *unlearn*; of a group of rules *unlearn + score*."""
    known = [name for name in STAGES if name in job["rules"]]
    return " + ".join(known + sorted(set(job["rules"]) - set(STAGES)))


def failed_as(job: Job) -> str | None:
    """Why a job failed, in a word or two; None if it did not."""
    if job["state"] == "COMPLETED" or (job["state"] == "UNKNOWN" and not job["reason"]):
        return None
    return stopped_by(job["state"], job["reason"]) or "own error"


def device(jobs: Sequence[Job]) -> str:
    """The field by which time is counted: GPUs, or cores where no job has a GPU."""
    return "gpus" if any(job["gpus"] for job in jobs) else "cpus"


def usage(jobs: Sequence[Job], unit: str) -> dict[str, Any]:
    """Sums over jobs; None where nothing is known.

    Args:
        unit: gpus or cpus, by which seconds are multiplied.

    Returns:
        jobs, failed {reason: jobs}; asked, held and used, in seconds x unit (used of the jobs of which it is known), and used_of_held
        (of these jobs too); least_mb and most_mb asked, used_mb (the most of a job), used_of_asked (the largest share of a job's own).
    """
    timed = [job for job in jobs if job["used_seconds"] is not None]
    used, held = (sum(job[key] * job[unit] for job in timed) for key in ("used_seconds", "held_seconds"))
    asked_mb = [job["asked_mb"] for job in jobs if job["asked_mb"]]
    known = measured(jobs)
    return {
        "jobs": len(jobs),
        "failed": dict(Counter(filter(None, map(failed_as, jobs))).most_common()),
        **{name: sum(job[f"{name}_seconds"] * job[unit] for job in jobs) for name in ("asked", "held")},
        "used": used if timed else None,
        "used_of_held": used / held if held else None,
        "least_mb": min(asked_mb, default=None),
        "most_mb": max(asked_mb, default=None),
        "used_mb": max((job["used_mb"] for job in known), default=None),
        "used_of_asked": max((job["used_mb"] / job["asked_mb"] for job in known), default=None),
    }


def usage_rows(jobs: Sequence[Job]) -> list[tuple[str, dict[str, Any]]]:
    """(rules, sums) of each kind of job in the order of the workflow, then of all."""
    kinds: dict[str, list[Job]] = {}
    for job in jobs:
        kinds.setdefault(stage(job), []).append(job)
    order = sorted(kinds, key=lambda name: [STAGES.index(part) if part in STAGES else 9 for part in name.split(" + ")])
    unit = device(jobs)
    return [*((name, usage(kinds[name], unit)) for name in order), ("total", usage(jobs, unit))]


def measured(jobs: Sequence[Job]) -> list[Job]:
    """Jobs of which it is known how much memory they used, and how much they were given."""
    return [job for job in jobs if job["used_mb"] is not None and job["asked_mb"]]
