"""What SLURM jobs were asked for, held and used, as text, and what a model's entry could ask for instead."""

from collections.abc import Mapping, Sequence
from typing import Any

from baldro.analysis.cluster import Job, device, failed_as, measured, usage_rows
from baldro.report.style import DASH, amount, grouped_by, percent
from baldro.report.words import paragraph

MARGIN = 1.25
"""Memory that is proposed, over the largest that was used."""
SLACK = 1.5
"""A time limit that is proposed, over the longest that a job ran."""
SHORTEST = 600
"""Seconds of a time limit, at least: a training is asked to leave minutes before its end."""
HOURS_FROM = 36000
"""Seconds x devices from which on times are given in hours."""


def usage_texts(jobs: Sequence[Job]) -> dict[str, Any]:
    """The table as it is shown: {unit, rows: [{rule, jobs, failed, asked, held, used, ...}], advice: sentences}."""
    rows, unit = usage_rows(jobs), {"gpus": "GPU", "cpus": "core"}[device(jobs)]
    in_hours = rows[-1][1]["asked"] >= HOURS_FROM
    shown = [{"rule": rule, **_texts(sums, in_hours)} for rule, sums in rows]
    return {"unit": f"{unit} {'hours' if in_hours else 'seconds'}", "rows": shown, "advice": advice(jobs)}


def advice(jobs: Sequence[Job]) -> list[str]:
    """What `needs` in models.yaml could ask less of, a sentence a model."""
    pairs = [(model, job) for job in jobs for model in dict.fromkeys(run.split("--")[1] for run in job["runs"])]
    return [
        paragraph("cluster", "advice", model=model, memory=_memory(own := [job for _, job in found]), time=_time(own))
        for model, found in grouped_by(pairs, lambda pair: pair[0]).items()
    ]


def _memory(jobs: Sequence[Job]) -> dict[str, Any]:
    """Jobs that ran out of memory with the most that such a one had (MB); the most used, its share of what was asked, what would do."""
    lost = [job["asked_mb"] or 0 for job in jobs if failed_as(job) == "out of memory"]
    known = measured(jobs)
    most = max((job["used_mb"] for job in known), default=0)
    share = max((job["used_mb"] / job["asked_mb"] for job in known), default=None)
    enough = _rounded_up(MARGIN * most)
    lower = most > max(lost) if lost else enough < min((job["asked_mb"] for job in known), default=0)
    return {"lost": len(lost), "lost_mb": max(lost, default=0), "share": share, "enough": enough if lower else None}


def _time(jobs: Sequence[Job]) -> dict[str, Any]:
    """Jobs that met the time limit; the largest share of it that another one took, and by how much it could be divided."""
    late = sum(failed_as(job) == "time limit" for job in jobs)
    limited = [job for job in jobs if job["asked_seconds"] and failed_as(job) is None]
    share = max((job["held_seconds"] / job["asked_seconds"] for job in limited), default=None)
    shortest = min((job["asked_seconds"] for job in limited), default=0)
    return {"late": late, "share": share, "times": int(min(1 / (SLACK * max(share or 0, 1e-9)), shortest / SHORTEST))}


def _rounded_up(mb: float) -> int:
    """To whole hundreds of MB, from 10,000 on to thousands; at least 400, which a job's own Snakemake takes."""
    step = 100 if mb < 10000 else 1000
    return max(400, step * -(-round(mb) // step))


def _texts(sums: Mapping[str, Any], in_hours: bool) -> dict[str, str]:
    lost = sum(sums["failed"].values())
    reasons = ", ".join(f"{n} {reason}" for reason, n in sums["failed"].items())
    least, most = sums["least_mb"], sums["most_mb"]
    return {
        "jobs": str(sums["jobs"]),
        "failed": f"{lost}: {reasons}" if lost else "0",
        **{name: _span(sums[name], in_hours) for name in ("asked", "held", "used")},
        "used_of_held": percent(sums["used_of_held"]),
        "asked_mb": amount(least) if least == most else f"{amount(least)}{DASH}{amount(most)}",
        "used_mb": amount(sums["used_mb"]),
        "used_of_asked": percent(sums["used_of_asked"]),
    }


def _span(seconds: float | None, in_hours: bool) -> str:
    return f"{seconds / 3600:,.1f}" if in_hours and seconds is not None else amount(seconds)
