"""How many jobs a run would hand to SLURM: a group of jobs is one, and alike ones share a submission."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from logging import LogRecord
from typing import Any

from .jobs import Jobs
from .lines import read_job

NOT_ASKED = ("_nodes", "tmpdir")  # resources in which jobs of one submission may differ


@dataclass(frozen=True, kw_only=True)
class JobRequest:
    """The resources that a job requests of its executor."""

    rule: str
    what: tuple[tuple[str, str], ...]
    """its resources, by which jobs are alike"""
    runs_per_job: int


def read_request(record: LogRecord) -> JobRequest:
    """Read the request of a JOB_INFO record."""
    resources = dict(getattr(record, "resources", None) or {})
    told = {name: str(value) for name, value in resources.items() if name not in NOT_ASKED}
    told["threads"] = str(getattr(record, "threads", 1))
    packed = int(resources.get("runs_per_job") or 1)
    return JobRequest(rule=read_job(record).rule, what=tuple(sorted(told.items())), runs_per_job=packed)


def submissions(jobs: Jobs, asked: Mapping[object, JobRequest], local: set[str] | None) -> list[str]:
    """What a dry run would hand to SLURM, in a line; none without groups, which only the SLURM profile makes.

    local: rules whose jobs stay on this machine; None if it is not known.
    """
    if not jobs.groups() or local is None:
        return []
    groups = [[asked[jobid] for jobid in ids if jobid in asked] for ids in jobs.groups()]
    grouped = {jobid for ids in jobs.groups() for jobid in ids}
    alone = [job for jobid, job in asked.items() if jobid not in grouped and not jobs.by_id[jobid].is_target]
    sent = [job for job in alone if job.rule not in local]
    return [submissions_line(groups, sent, len(alone) - len(sent))]


def local_rules(members: Sequence[Any]) -> set[str] | None:
    """Rules that are declared local, from Snakemake's jobs of a group: no record of a dry run says it."""
    workflow = members[0].dag.workflow if members else None
    return getattr(workflow, "_localrules", None)


def submissions_line(groups: Sequence[Sequence[JobRequest]], singles: Sequence[JobRequest], local: int) -> str:
    """`41 submissions to SLURM: 32 of unlearn+score (8 runs each), 9 others; 12 jobs stay on this machine`.

    Args:
        groups: the jobs of each group, in order.
        singles: jobs that are submitted alone.
        local: jobs that are not submitted.

    At least as many: alike jobs share a submission only if they are ready at the same time.
    """
    alike = Counter(tuple((job.rule, job.what, job.runs_per_job) for job in group) for group in groups)
    alike.update(((job.rule, job.what, job.runs_per_job),) for job in singles)
    counts, sizes = Counter(), {}
    grouped = {"+".join(job.rule for job in group) for group in groups}
    for members, n in alike.items():
        name, size = "+".join(rule for rule, *_ in members), max(size for *_, size in members)
        packs = -(-n // size)
        counts[name] += packs
        sizes.setdefault(name, set()).update({min(size, n), n - size * (packs - 1)})
    others = sum(n for name, n in counts.items() if name not in grouped)
    parts = [f"{counts[name]} of {name}{_each(sizes[name])}" for name in sorted(grouped, key=counts.get, reverse=True)]
    parts += [f"{others} other{'s' * (others != 1)}"] * bool(others)
    is_packed = any(size > 1 for own in sizes.values() for size in own)
    total = f"{'at least ' * is_packed}{counts.total()} submission{'s' * (counts.total() != 1)} to SLURM"
    stay = f"{local} job{'s stay' if local != 1 else ' stays'} on this machine"
    return f"{total}: {', '.join(parts)}" + f"; {stay}" * bool(local)


def _each(sizes: set[int]) -> str:
    if max(sizes) == 1:
        return ""
    return f" ({max(sizes)} runs each)" if len(sizes) == 1 else f" (up to {max(sizes)} runs each)"
