"""What Snakemake's jobs are to a submission: what makes two of them the same, what they ask for, what they leave."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from snakemake_executor_plugin_slurm.utils import set_gres_string

from .submission import Member, Submission


def parts(job: Any) -> list[Any]:
    """The jobs of a group in the order in which they run, or a job alone."""
    return list(job) if job.is_group() else [job]


def specs(jobs: Iterable[Any]) -> dict[str, str]:
    """`rule wildcard=value ...` -> a hash of the job's parameters, input and output: the same job has the same hash."""
    result = {}
    for job in jobs:
        wildcards = " ".join(f"{name}={value}" for name, value in sorted(job.wildcards_dict.items()))
        made_from = [
            sorted((str(k), str(v)) for k, v in job.params.items()),
            sorted(map(str, job.input)),
            sorted(map(str, job.output)),
        ]
        digest = hashlib.sha256(json.dumps(made_from).encode()).hexdigest()[:16]
        result[f"{job.rule.name} {wildcards}".strip()] = digest
    return result


def held(job: Any) -> str:
    """The options of sbatch for its GPUs. On several nodes as many on each, and a task a node, which srun starts from the first one."""
    nodes, gpus = int(job.resources.get("nodes") or 1), set_gres_string(job)
    if nodes == 1:
        return gpus
    return f"{gpus.replace('--gpus=', '--gpus-per-node=')} --ntasks={nodes} --ntasks-per-node=1"


def member(job: Any) -> Member:
    """What a submission remembers of a job."""
    each = parts(job)
    runs = {part.wildcards_dict.get("run", "") for part in each}
    return Member(
        specs=specs(each),
        rules=[part.rule.name for part in each],
        runs=sorted(filter(None, runs)),
        logs=[str(path) for part in each for path in part.log],
        benchmarks=[str(part.benchmark) for part in each if part.benchmark],
    )


def comment(submission: Submission) -> str:
    """What squeue shows with %k."""
    first, more = submission.members[0], len(submission.members) - 1
    return f"{'+'.join(first.rules)} {' '.join(first.runs)}" + (f" and {more} more" if more else "")


def alike(job: Any) -> str:
    """What a job asks for: jobs that ask for the same may share a submission."""
    resources = {name: value for name, value in job.resources.items() if name not in ("_nodes", "tmpdir")}
    return json.dumps([sorted(resources.items(), key=str), job.threads, [j.rule.name for j in parts(job)]], default=str)


def asked(jobs: list[Any]) -> Any:
    """What a pack asks for: the time of all its jobs, the rest of one, as they run one after the other."""
    resources = dict(jobs[0].resources.items())
    if resources.get("runtime"):
        resources["runtime"] = sum(int(job.resources.get("runtime")) for job in jobs)
    return SimpleNamespace(resources=Resources(resources), threads=jobs[0].threads)


class Resources(dict):
    """Resources as the plugin reads them: by key and by attribute."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


def newest_input(job: Any) -> float:
    """When the latest of a job's input was written, in seconds since the epoch."""
    made = {str(path) for part in parts(job) for path in part.output}
    paths = [Path(str(path)) for part in parts(job) for path in part.input if str(path) not in made]
    return max((path.stat().st_mtime for path in paths if path.exists()), default=0.0)
