"""The SLURM jobs of an experiment: which of all they are, as a table, and why some failed."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from baldro.records import slurm
from baldro.records.slurm import Job
from baldro.runs import STAGES as RUN_STAGES
from baldro.slurm import stopped_by

STAGES = ("finetune", "reference", "unlearn", "follow", "score", "rescore")
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
    """The rules of a job: *finetune*, *unlearn + score*."""
    known = [name for name in STAGES if name in job["rules"]]
    return " + ".join(known + sorted(set(job["rules"]) - set(STAGES)))


def failed_as(job: Job) -> str | None:
    """Why a job failed, in a word or two; None if it did not."""
    if job["state"] == "COMPLETED" or (job["state"] == "UNKNOWN" and not job["reason"]):
        return None
    return stopped_by(job["state"], job["reason"]) or "own error"
