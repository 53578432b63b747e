"""How much of what SLURM jobs were asked for they held and used."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from baldro.analysis.cluster import STAGES, Job, failed_as, stage


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
