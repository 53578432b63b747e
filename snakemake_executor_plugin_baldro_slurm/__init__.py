"""`snakemake --executor baldro-slurm`: Snakemake's SLURM executor, made to survive what a cluster does.

What it takes from snakemake-executor-plugin-slurm: accounts, partitions, GPUs, the sbatch line. What it does otherwise, and why:

- One SLURM job holds one nested Snakemake a member, not two, and no srun: memory and GPUs are the job's own, so an out-of-memory
  is called one, and a start takes seconds less.
- `runs_per_job` members (a resource of the rules) share a submission. Each is still a job of its own: it succeeds, fails and is
  retried alone, as Snakemake's grouping of components would not let it.
- A member's exit status is a file. It is believed before SLURM is asked, so a controller that is away delays and loses nothing.
- A submission is a folder that outlives this process: the next Snakemake goes on with jobs that still wait or run, takes what
  ended in the meantime as done, and never submits a job beside itself.
- A lost node or a preemption is SLURM's to requeue; the script begins again with the members that had not ended.
- Every job that ended leaves a line in results/slurm.jsonl, and a failed one its reason in words.
"""

import contextlib
import hashlib
import json
import os
import shlex
import subprocess
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Optional

from snakemake_executor_plugin_slurm import Executor as SlurmExecutor
from snakemake_executor_plugin_slurm import ExecutorSettings as SlurmSettings
from snakemake_executor_plugin_slurm import common_settings
from snakemake_executor_plugin_slurm.submit_string import get_submit_command
from snakemake_executor_plugin_slurm.utils import set_gres_string
from snakemake_executor_plugin_slurm.validation import validate_slurm_extra
from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo

from . import accounts, slurm
from .submission import PREFIX, Member, Submission, new_name, read_all

__all__ = ["Executor", "ExecutorSettings", "common_settings"]

FOLDER = Path(".snakemake/baldro-slurm")
PATIENCE = 10.0
"""Seconds until sbatch is asked again."""


@dataclass
class ExecutorSettings(SlurmSettings):
    """Settings of the SLURM executor, and two more."""

    status_command: Optional[str] = field(  # noqa: UP045 (Snakemake reads the annotation)
        default=None, metadata={"help": "Not used: squeue, then sacct if it answers."}
    )
    signal_seconds: int = field(
        default=300,
        metadata={"help": "Seconds before its time limit in which a training writes its checkpoint and leaves."},
    )
    earlier_jobs: str = field(
        default="wait",
        metadata={"help": "Jobs of an earlier, killed Snakemake in this folder: `wait` for them, or `cancel` them."},
    )

    def __post_init__(self) -> None:
        """Check what is ours."""
        if self.earlier_jobs not in ("wait", "cancel"):
            raise WorkflowError(f"earlier-jobs is {self.earlier_jobs!r}; allowed: wait, cancel")
        if self.signal_seconds < 0:
            raise WorkflowError(f"signal-seconds is {self.signal_seconds}; allowed: 0 or more")
        super().__post_init__()


class Executor(SlurmExecutor):
    """Submits packs of jobs, follows them by their files, and goes on with those of a Snakemake that was killed."""

    is_ready = False
    """The thread that calls check_active_jobs runs before __post_init__ does."""
    is_ending = False
    """From Ctrl-C on nothing is waited for."""

    def __post_init__(self, test_mode: bool = False) -> None:
        """Find what an earlier Snakemake left."""
        super().__post_init__(test_mode)
        self.folder = Path(self.workflow.workdir_init) / FOLDER
        self.accounts = accounts.Accounts(Path(self.workflow.workdir_init) / "results" / "slurm.jsonl")
        self.submissions: dict[str, Submission] = {}  # by name: those that are not closed
        self.adoptable: dict[
            str, Submission
        ] = {}  # by name: of an earlier Snakemake, with members that nobody has taken note of
        self.gone_since: dict[str, float] = {}  # by name: when SLURM was first heard to know a submission as ended
        self.silent = False
        self._take_over()
        self.is_ready = True

    # --- what an earlier Snakemake left

    def _take_over(self) -> None:
        left = read_all(self.folder)
        lives = {job.name: job for job in self._patiently(lambda: slurm.live_jobs(PREFIX)) if self._is_here(job)}
        if lives and self.workflow.executor_settings.earlier_jobs == "cancel":
            self.logger.warning(f"{len(lives)} jobs of an earlier run are cancelled (earlier-jobs: cancel).")
            self._end([job.job for job in lives.values()], lives)
            lives = {}
        unknown = [job for name, job in lives.items() if name not in {submission.name for submission in left}]
        if unknown:
            ids = ", ".join(job.job for job in unknown)
            self.logger.warning(f"SLURM jobs {ids} of this folder are of no known submission; waiting for them to end.")
            self._wait_until_gone({job.name for job in unknown})
        for submission in left:
            self.submissions[submission.name] = submission
            if submission.name not in lives:  # what it did not do it will never do
                submission.give_up()
            if not submission.is_settled():
                self.adoptable[submission.name] = submission
        if lives:
            self.logger.warning(f"{len(lives)} jobs of an earlier run are in the queue; going on with them.")
        self._acknowledge_finished()

    def _is_here(self, job: slurm.Live) -> bool:
        return Path(job.folder) == Path(self.workflow.workdir_init)

    def _acknowledge_finished(self) -> None:
        """Record what ended well after its Snakemake was killed, and which the DAG of this one takes as done."""
        needed = {key for job in self.dag.needrun_jobs() for key in _specs([job])}
        specs = {key: (spec, job) for job in self.dag.jobs for key, spec in _specs([job]).items() if key not in needed}
        for submission in self.adoptable.values():
            for index, member in enumerate(submission.members):
                if submission.is_seen(index) or submission.exit_status(index) != 0 or needed & set(member.specs):
                    continue
                for key, spec in member.specs.items():
                    now, job = specs.get(key, (spec, None))
                    if now != spec:
                        raise WorkflowError(
                            f"{key} was done by an earlier run with other settings or code; delete {', '.join(job.output)} "
                            "and start again"
                        )
                    if job is not None:
                        self.workflow.async_run(self.workflow.persistence.finished(job))
                submission.see(index)

    def _adopt(self, job: Any) -> SubmittedJobInfo | None:
        """The earlier submission that does, or did, this very job; what does another version of it is ended first."""
        specs, clashing = _specs(_members(job)), set()
        for submission in self.adoptable.values():
            for index, member in enumerate(submission.members):
                if submission.is_seen(index) or not specs.keys() & member.specs.keys():
                    continue
                status = submission.exit_status(index)
                same = specs.items() <= member.specs.items()
                fresh = status is None or (status == 0 and self._newest_input(job) <= submission.ended_at(index))
                if same and fresh:
                    return SubmittedJobInfo(job, external_jobid=submission.job(), aux=_aux(submission, index))
                submission.see(index)
                if status is None:
                    clashing.add(submission.name)
        if clashing:
            self._end_clashing(clashing)
        return None

    def _newest_input(self, job: Any) -> float:
        made = {str(path) for each in _members(job) for path in each.output}
        paths = [Path(str(path)) for each in _members(job) for path in each.input if str(path) not in made]
        return max((path.stat().st_mtime for path in paths if path.exists()), default=0.0)

    def _end_clashing(self, names: set[str]) -> None:
        lives = {job.name: job for job in self._patiently(lambda: slurm.live_jobs(PREFIX)) if job.name in names}
        self._end([job.job for job in lives.values()], lives)

    def _end(self, jobs: list[str], names: Iterable[str]) -> None:
        self._patiently(lambda: slurm.cancel(jobs))
        self._wait_until_gone(set(names))

    def _wait_until_gone(self, names: set[str]) -> None:
        while names & {job.name for job in self._patiently(lambda: slurm.live_jobs(PREFIX))}:
            time.sleep(2)

    def _patiently(self, action: Any) -> Any:
        """What SLURM answers, however long its controller is away."""
        while True:
            try:
                return action()
            except slurm.Unanswered as error:
                if self.is_ending:
                    raise WorkflowError(f"SLURM does not answer: {error}") from None
                if not self.silent:
                    self.logger.warning(f"SLURM does not answer ({error}); trying until it does.")
                self.silent = True
                time.sleep(PATIENCE)

    # --- submitting

    def run_jobs(self, jobs: list[Any]) -> None:
        """Go on with what is under way, and submit the rest in packs of jobs that ask for the same."""
        packs = defaultdict(list)
        for job in jobs:
            self.run_job_pre(job)
            packs[_asks(job)].append(job)
        for alike in packs.values():
            size = max(1, int(alike[0].resources.get("runs_per_job") or 1))
            for start in range(0, len(alike), size):
                self._job_submission_executor.submit(self._run_pack, alike[start : start + size])

    def _run_pack(self, jobs: list[Any]) -> None:
        try:
            adopted = {id(job): self._adopt(job) for job in jobs} if self.adoptable else {}
            for info in filter(None, adopted.values()):
                self.report_job_submission(info)
            if fresh := [job for job in jobs if adopted.get(id(job)) is None]:
                self._submit(fresh)
        except Exception as error:  # in a thread of a pool, where nobody else would hear of it
            told = dict.fromkeys(("job", "state", "node", "log"), "") | {"reason": f"could not be submitted: {error}"}
            for job in jobs:
                self.report_job_error(SubmittedJobInfo(job), msg=f"{told['reason']}\n", slurm=told)

    def _submit(self, jobs: list[Any]) -> None:
        first, attempt = jobs[0], max(job.attempt for job in jobs)
        asked = _asked(jobs)
        self.slurm_logdir.mkdir(parents=True, exist_ok=True)
        log = Path(os.path.relpath(self.slurm_logdir / "%j.log", self.workflow.workdir_init))
        submission = Submission(
            folder=self.folder / new_name(),
            log=str(log),
            attempt=attempt,
            gpus=int(first.resources.get("gpu") or 0),
            cpus=first.threads,
            mem_mb=int(asked.resources.get("mem_mb") or 0),
            minutes=int(asked.resources.get("runtime") or 0),
            members=[_member(job) for job in jobs],
        )
        submission.write([self.format_job_exec(job) for job in jobs], workdir=Path(self.workflow.workdir_init))
        # From here on a job may exist, so the members are followed whatever sbatch says.
        self.submissions[submission.name] = submission
        try:
            external = self._sbatch(submission, asked, first)
        except WorkflowError:
            self.submissions.pop(submission.name)
            submission.remove()
            raise
        for index, job in enumerate(jobs):
            self.report_job_submission(SubmittedJobInfo(job, external_jobid=external, aux=_aux(submission, index)))

    def _sbatch(self, submission: Submission, asked: Any, first: Any) -> str:
        """Submit; asked again while the controller is away or the queue is full. Returns the job's id."""
        for job in _members(first):
            validate_slurm_extra(job)
        settings = self.workflow.executor_settings
        params = {
            "run_uuid": submission.name,
            "slurm_logfile": submission.log,
            "comment_str": _comment(submission),
            "account": next(self.get_account_arg(first)),
            "partition": self.get_partition_arg(first),
            "workdir": self.workflow.workdir_init,
        }
        call = get_submit_command(asked, params, settings=settings, failed_nodes=self._failed_nodes)
        call += f"{set_gres_string(first)} --open-mode=append --signal=B:USR1@{settings.signal_seconds}"
        command = [*shlex.split(call), str(submission.folder / "script.sh")]
        while True:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                return done.stdout.strip().split(";")[0]
            if self.is_ending or not slurm.TRANSIENT.search(done.stderr):
                raise WorkflowError(f"sbatch: {done.stderr.strip()}")
            time.sleep(PATIENCE)

    def get_account_arg(self, job: Any) -> Iterator[str]:
        """The account that is named; otherwise sbatch takes the user's own, without the plugin's guess at it."""
        if job.resources.get("slurm_account"):
            yield from super().get_account_arg(job)
        else:
            yield ""

    def additional_general_args(self) -> str:
        """Members run in the Snakemake that the script starts, not in a further one; --notemp is told to it, or it would not know."""
        return "--notemp" if self.workflow.storage_settings.notemp else ""

    # --- following

    async def check_active_jobs(self, active_jobs: list[SubmittedJobInfo]) -> AsyncGenerator[SubmittedJobInfo, None]:
        """Report what has ended; yield the rest."""
        names = self._names_alive() if self.is_ready else None
        for info in active_jobs:
            if not self._settle(info, names):
                yield info
        if names is not None:
            self._close(names)

    def _names_alive(self) -> set[str] | None:
        try:
            names = {job.name for job in slurm.live_jobs(PREFIX)}
        except slurm.Unanswered as error:
            if not self.silent:
                self.logger.warning(f"SLURM does not answer ({error}); its jobs go on, and so does the waiting.")
            self.silent = True
            return None
        if self.silent:
            self.logger.warning("SLURM answers again.")
        self.silent = False
        return names

    def _settle(self, info: SubmittedJobInfo, names: set[str] | None) -> bool:
        """Report a member's end, if it has ended."""
        submission, index = info.aux["submission"], info.aux["index"]
        status = submission.exit_status(index)
        if status is None and (names is None or submission.name in names):
            return False
        end = None
        if status is None:  # the job is gone, and the member left no word: was it cut off, or is its word on its way?
            since = self.gone_since.setdefault(submission.name, time.monotonic())
            end = slurm.end_of(submission.job() or info.external_jobid)
            waited = time.monotonic() - since
            if waited < (self.latency if end else 6 * self.latency):
                return False
        submission.see(index)
        if status == 0:
            self.report_job_success(info)
        else:
            self._report_failure(info, submission, index, end)
        return True

    @property
    def latency(self) -> float:
        """Seconds in which a node's files must show up here."""
        return float(self.workflow.execution_settings.latency_wait)

    def _report_failure(
        self, info: SubmittedJobInfo, submission: Submission, index: int, end: slurm.End | None
    ) -> None:
        member, external = submission.members[index], submission.job() or info.external_jobid
        said = slurm.last_words(member.logs)
        end = end or slurm.end_of(external)
        asked = {"asked_mb": submission.mem_mb, "minutes": submission.minutes}
        status = submission.exit_status(index)
        why = slurm.reason(end, **asked, stopped=submission.stopped(), said=said, status=status)
        if why == said and slurm.is_final(said):  # no further attempt would end otherwise
            info.job.attempt = max(info.job.attempt, info.job.restart_times + 1)
        if end and end.state in ("NODE_FAIL", "BOOT_FAIL") and end.node:
            self._failed_nodes.add(end.node)
        told = {
            "job": external,
            "state": end.state if end else "UNKNOWN" if status is None else "FAILED",
            "node": end.node if end else "",
            "reason": why,
            "log": submission.log.replace("%j", str(external)),
        }
        self.report_job_error(SubmittedJobInfo(info.job), msg=f"{why}\n", slurm=told)

    # --- closing

    def _close(self, names: set[str]) -> None:
        """Account for submissions that have ended altogether, and forget them."""
        for submission in list(self.submissions.values()):
            if submission.name in names or not submission.is_settled():
                continue
            job = submission.job()
            end = slurm.end_of(job) if job else None
            since = self.gone_since.setdefault(submission.name, time.monotonic())
            if job and end is None and time.monotonic() - since < self.latency:
                continue  # the accounts may still be on their way
            if job:
                self.accounts.add(submission, job, end)
            self.submissions.pop(submission.name)
            self.adoptable.pop(submission.name, None)
            self.gone_since.pop(submission.name, None)
            submission.remove()

    def cancel(self) -> None:
        """Ctrl-C, or an error of Snakemake's own."""
        self.is_ending = True
        super().cancel()

    def cancel_jobs(self, active_jobs: list[SubmittedJobInfo]) -> None:
        """Cancel what is under way; training writes its checkpoints."""
        jobs = {info.aux["submission"].job() or info.external_jobid for info in active_jobs if info.aux}
        with contextlib.suppress(slurm.Unanswered):
            slurm.cancel(sorted(filter(None, jobs)))

    def shutdown(self) -> None:
        """Wait a little for the ends of the last jobs; one that still holds a node, though its members have ended, is cancelled."""
        super().shutdown()
        if self._wait_for_ends() and not self.is_ending:
            self.cancel_jobs([SubmittedJobInfo(None, aux=_aux(submission, 0)) for submission in self._settled()])
            self._wait_for_ends()

    def _wait_for_ends(self) -> bool:
        """Close what has ended, for as long as files may take to show up; True if something is left."""
        until = time.monotonic() + self.latency
        while self._settled() and time.monotonic() < until:
            if (names := self._names_alive()) is not None:
                self._close(names)
            time.sleep(1 if self._settled() else 0)
        return bool(self._settled())

    def _settled(self) -> list[Submission]:
        return [submission for submission in self.submissions.values() if submission.is_settled()]


def _members(job: Any) -> list[Any]:
    """The jobs of a group in the order in which they run, or a job alone."""
    return list(job) if job.is_group() else [job]


def _specs(jobs: Iterable[Any]) -> dict[str, str]:
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


def _member(job: Any) -> Member:
    members = _members(job)
    runs = [each.wildcards_dict.get("run", "") for each in members]
    return Member(
        specs=_specs(members),
        rules=[each.rule.name for each in members],
        runs=sorted(set(filter(None, runs))),
        logs=[str(path) for each in members for path in each.log],
        benchmarks=[str(each.benchmark) for each in members if each.benchmark],
    )


def _aux(submission: Submission, index: int) -> dict[str, Any]:
    return {"submission": submission, "index": index}


def _comment(submission: Submission) -> str:
    """What squeue shows with %k."""
    first, more = submission.members[0], len(submission.members) - 1
    return f"{'+'.join(first.rules)} {' '.join(first.runs)}" + (f" and {more} more" if more else "")


def _asks(job: Any) -> str:
    """What a job asks for: jobs that ask for the same may share a submission."""
    resources = {name: value for name, value in job.resources.items() if name not in ("_nodes", "tmpdir")}
    return json.dumps(
        [sorted(resources.items(), key=str), job.threads, [j.rule.name for j in _members(job)]], default=str
    )


def _asked(jobs: list[Any]) -> Any:
    """What a pack asks for: the time of all its jobs, the rest of one, as they run one after the other."""
    resources = dict(jobs[0].resources.items())
    if resources.get("runtime"):
        resources["runtime"] = sum(int(job.resources.get("runtime")) for job in jobs)
    return SimpleNamespace(resources=_Resources(resources), threads=jobs[0].threads)


class _Resources(dict):
    """Resources as the plugin reads them: by key and by attribute."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None
