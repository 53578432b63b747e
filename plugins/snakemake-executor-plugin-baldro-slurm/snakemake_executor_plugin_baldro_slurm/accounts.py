"""results/slurm.jsonl: a line per SLURM job that has ended, for the report's table of what was asked and what was used."""

import json
import re
import time
from pathlib import Path
from typing import Any

from . import slurm
from .submission import Submission


class Accounts:
    """The file, and the jobs that have a line in it: an earlier Snakemake may have been killed between a line and what comes after it."""

    def __init__(self, path: Path):
        self.path = path
        rows = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.is_file() else []
        if rows and not rows[-1].endswith(
            "\n"
        ):  # cut short when a Snakemake was killed: the job is not closed and comes again
            with path.open("r+", encoding="utf-8") as file:
                file.truncate(path.stat().st_size - len(rows.pop().encode()))
        self.known = {match[1] for row in rows if (match := re.match(r'{"job": "(\w+)"', row))}

    def add(self, submission: Submission, job: str, end: slurm.End | None) -> None:
        """Append a job's line, once and in one write."""
        if job in self.known:
            return
        self.known.add(job)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line(submission, job, end)) + "\n")


def line(submission: Submission, job: str, end: slurm.End | None) -> dict[str, Any]:
    """What a job asked for, held and used; None where nobody knows.

    used_seconds: in which baldro ran, by Snakemake's benchmark files; of a job that failed nothing is known.
    """
    end = end or slurm.End(state="UNKNOWN")
    failed = {i: submission.exit_status(i) for i, _ in enumerate(submission.members) if submission.exit_status(i) != 0}
    asked = {"asked_mb": submission.mem_mb, "minutes": submission.minutes, "stopped": submission.stopped()}
    why = {slurm.reason(end, **asked, said=submission.last_words(i), status=status) for i, status in failed.items()}
    return {
        "job": job,
        "rules": list(dict.fromkeys(rule for member in submission.members for rule in member.rules)),
        "runs": [run for member in submission.members for run in member.runs],
        "attempt": submission.attempt,
        "state": end.state,
        "reason": "; ".join(sorted(why)),
        "node": end.node,
        "partition": end.partition,
        "gpus": end.gpus or submission.gpus,
        "cpus": end.cpus or submission.cpus,
        "asked_seconds": end.limit_seconds or 60 * submission.minutes,
        "held_seconds": end.held_seconds,
        "used_seconds": None if failed else _seconds(submission),
        "asked_mb": submission.mem_mb,
        "used_mb": end.used_mb,
        "log": submission.log.replace("%j", job),
        "ended": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def _seconds(submission: Submission) -> float | None:
    total = 0.0
    for path in (Path(path) for member in submission.members for path in member.benchmarks):
        rows = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        if len(rows) < 2:
            return None
        try:
            total += float(rows[1].split("\t")[0])
        except ValueError:
            return None
    return round(total, 1)
