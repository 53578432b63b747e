"""What SLURM jobs were asked for, held and used, as text, and what a model's entry could ask for instead."""

from collections.abc import Mapping, Sequence
from typing import Any

from baldro.analysis.cluster import Job, failed_as
from baldro.analysis.usage import device, measured, usage_rows
from baldro.report.style import DASH, counted

MARGIN = 1.25
"""Memory that is proposed, over the largest that was used."""
SLACK = 1.5
"""A time limit that is proposed, over the longest that a job ran."""
SHORTEST = 600
"""Seconds of a time limit, at least: minutes before its end a training is told to leave."""
HOURS_FROM = 36000
"""Seconds x devices from which on times are told in hours."""


def usage_texts(jobs: Sequence[Job]) -> dict[str, Any]:
    """The table as it is shown: {unit, rows: [{rule, jobs, failed, asked, held, used, ...}], advice: sentences}."""
    rows, unit = usage_rows(jobs), {"gpus": "GPU", "cpus": "core"}[device(jobs)]
    in_hours = rows[-1][1]["asked"] >= HOURS_FROM
    shown = [{"rule": rule, **_texts(sums, in_hours)} for rule, sums in rows]
    return {"unit": f"{unit} {'hours' if in_hours else 'seconds'}", "rows": shown, "advice": advice(jobs)}


def advice(jobs: Sequence[Job]) -> list[str]:
    """What `needs` in models.yaml could ask less of, a sentence a model."""
    own: dict[str, list[Job]] = {}
    for job in jobs:
        for model in dict.fromkeys(run.split("--")[1] for run in job["runs"]):
            own.setdefault(model, []).append(job)
    return [f"Model {model}: {_memory(of_it)}; {_time(of_it)}." for model, of_it in own.items()]


def _memory(jobs: Sequence[Job]) -> str:
    known = measured(jobs)
    lost = [job["asked_mb"] or 0 for job in jobs if failed_as(job) == "out of memory"]
    most = max((job["used_mb"] for job in known), default=0)
    enough = _rounded_up(MARGIN * most)
    if lost:
        text = f"{counted(len(lost), 'job')} ran out of memory, at {max(lost):,.0f} MB at most"
        return text + (f"; mem_mb: {enough} would do" if most > max(lost) else "")
    if not known:
        return "how much memory was used is not known (the cluster keeps no accounts of it)"
    share = _percent(max(job["used_mb"] / job["asked_mb"] for job in known))
    text = f"memory at most {share} of what was asked"
    return f"{text}, mem_mb: {enough} would do" if enough < min(job["asked_mb"] for job in known) else text


def _time(jobs: Sequence[Job]) -> str:
    late = sum(failed_as(job) == "time limit" for job in jobs)
    if late:
        return f"{counted(late, 'job')} met the time limit"
    limited = [job for job in jobs if job["asked_seconds"] and failed_as(job) is None]
    if not limited:
        return "no job ended well within a time limit"
    share = max(job["held_seconds"] / job["asked_seconds"] for job in limited)
    shortest = min(job["asked_seconds"] for job in limited)
    times = int(min(1 / (SLACK * max(share, 1e-9)), shortest / SHORTEST))
    text = f"time at most {_percent(share)} of the limit"
    return f"{text}, train_minutes and score_minutes could be divided by {times}" if times > 1 else text


def _rounded_up(mb: float) -> int:
    """To whole hundreds of MB, from 10,000 on to thousands; at least 400, which a job's own Snakemake takes."""
    step = 100 if mb < 10000 else 1000
    return max(400, step * -(-round(mb) // step))


def _texts(sums: Mapping[str, Any], in_hours: bool) -> dict[str, str]:
    lost = sum(sums["failed"].values())
    reasons = ", ".join(f"{n} {reason}" for reason, n in sums["failed"].items())
    least, most = sums["least_mb"], sums["most_mb"]
    asked = _amount(least) if least == most else f"{_amount(least)}{DASH}{_amount(most)}"
    times = {name: _span(sums[name], in_hours) for name in ("asked", "held", "used")}
    return {
        "jobs": str(sums["jobs"]),
        "failed": f"{lost}: {reasons}" if lost else "0",
        **times,
        "used_of_held": _percent(sums["used_of_held"]),
        "asked_mb": asked,
        "used_mb": _amount(sums["used_mb"]),
        "used_of_asked": _percent(sums["used_of_asked"]),
    }


def _amount(value: float | None) -> str:
    return DASH if value is None else f"{value:,.0f}"


def _span(seconds: float | None, in_hours: bool) -> str:
    if seconds is None:
        return DASH
    return f"{seconds / 3600:,.1f}" if in_hours else f"{seconds:,.0f}"


def _percent(share: float | None) -> str:
    return DASH if share is None else f"{100 * share:.0f} %"
