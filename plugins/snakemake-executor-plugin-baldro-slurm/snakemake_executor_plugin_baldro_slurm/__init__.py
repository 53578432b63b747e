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

import os
import shlex
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from snakemake_executor_plugin_slurm import Executor as SlurmExecutor
from snakemake_executor_plugin_slurm import ExecutorSettings as SlurmSettings
from snakemake_executor_plugin_slurm import common_settings
from snakemake_executor_plugin_slurm.submit_string import get_submit_command
from snakemake_executor_plugin_slurm.validation import validate_slurm_extra
from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.real import RealExecutor
from snakemake_interface_executor_plugins.utils import format_cli_arg

from . import accounts, slurm
from .earlier import PATIENCE, Earlier
from .following import Following
from .jobs import alike, asked, comment, held, member, parts
from .submission import FOLDER, Submission, new_name

__all__ = ["Executor", "ExecutorSettings", "common_settings"]


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


class Executor(Earlier, Following, SlurmExecutor):
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
        self.adoptable: dict[str, Submission] = {}  # by name: an earlier Snakemake's, with members to be heard of
        self.told: dict[int, tuple[Submission, int]] = {}  # by id of Snakemake's job: ends it has yet to take note of
        self.ends: dict[str, slurm.End | None] = {}  # by SLURM's id: what was asked in this round
        self.warned: set[str] = set()
        self.gone_since: dict[str, float] = {}  # by name: when SLURM was first heard to know a submission as ended
        self.silent = False
        self.take_over()
        self.is_ready = True

    def run_jobs(self, jobs: list[Any]) -> None:
        """Go on with what is under way, and submit the rest in packs of jobs that ask for the same."""
        packs = defaultdict(list)
        for job in jobs:
            self.run_job_pre(job)
            packs[alike(job)].append(job)
        for pack in packs.values():
            size = max(1, int(pack[0].resources.get("runs_per_job") or 1))
            for start in range(0, len(pack), size):
                self._job_submission_executor.submit(self._run_pack, pack[start : start + size])

    def _run_pack(self, jobs: list[Any]) -> None:
        fresh, left = [], list(jobs)  # to be submitted; followed by nobody yet
        try:
            for job in jobs:
                if self.adoptable and (info := self.adopt(job)):
                    left = [other for other in left if other is not job]
                    self.report_job_submission(info)
                else:
                    fresh.append(job)
            if fresh and not self.is_ending:
                self._submit(fresh)
        except Exception as error:  # in a thread of a pool, where nobody else would hear of it
            told = dict.fromkeys(("job", "state", "node", "log"), "") | {"reason": f"could not be submitted: {error}"}
            for job in left:
                self.report_job_error(SubmittedJobInfo(job), msg=f"{told['reason']}\n", slurm=told)

    def _submit(self, jobs: list[Any]) -> None:
        first, attempt = jobs[0], max(job.attempt for job in jobs)
        pack = asked(jobs)
        self.slurm_logdir.mkdir(parents=True, exist_ok=True)
        log = Path(os.path.relpath(self.slurm_logdir / "%j.log", self.workflow.workdir_init))
        submission = Submission(
            folder=self.folder / new_name(),
            log=str(log),
            attempt=attempt,
            gpus=int(first.resources.get("gpu") or 0) * int(first.resources.get("nodes") or 1),
            cpus=first.threads,
            mem_mb=int(pack.resources.get("mem_mb") or 0),
            minutes=int(pack.resources.get("runtime") or 0),
            members=[member(job) for job in jobs],
        )
        submission.write([self.format_job_exec(job) for job in jobs], workdir=Path(self.workflow.workdir_init))
        # From here on a job may exist, so the members are followed whatever sbatch says.
        self.submissions[submission.name] = submission
        try:
            external = self._sbatch(submission, pack, first)
        except Exception:
            self.submissions.pop(submission.name)
            submission.remove()
            raise
        for index, job in enumerate(jobs):
            aux = {"submission": submission, "index": index}
            self.report_job_submission(SubmittedJobInfo(job, external_jobid=external, aux=aux))

    def _sbatch(self, submission: Submission, pack: Any, first: Any) -> str:
        """Submit; asked again while the controller is away or the queue is full. Returns the job's id."""
        for job in parts(first):
            validate_slurm_extra(job)
        if any(first.resources.get(name) for name in ("cluster", "clusters", "slurm_cluster")):
            raise WorkflowError("a job names another cluster; allowed: the one of this machine's squeue")
        settings = self.workflow.executor_settings
        params = {
            "run_uuid": submission.name,
            "slurm_logfile": submission.log,
            "comment_str": comment(submission),
            "account": next(self.get_account_arg(first)),
            "partition": self.get_partition_arg(first),
            "workdir": self.workflow.workdir_init,
        }
        call = get_submit_command(pack, params, settings=settings, failed_nodes=set(self._failed_nodes))
        # a quarter of the limit at most
        ahead = min(settings.signal_seconds, 15 * submission.minutes or settings.signal_seconds)
        call += f"{held(first)} --open-mode=append --signal=B:USR1@{ahead}"
        command = [*shlex.split(call), str(submission.folder / "script.sh")]
        while True:
            try:
                done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
            except subprocess.TimeoutExpired:
                continue  # should it have been submitted all the same, the twin that starts later leaves
            if done.returncode == 0:
                return done.stdout.strip().split(";")[0]
            said = done.stderr.strip()
            if self.is_ending or not slurm.TRANSIENT.search(said):
                raise WorkflowError(f"sbatch: {said}")
            self._warn_once(f"sbatch: {said}; asking again every {PATIENCE:.0f} s")
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

    def get_job_args(self, job: Any) -> str:
        """As RemoteExecutor's, but no job waits for this process's temporary folder, which it may outlive."""
        return f"{RealExecutor.get_job_args(self, job)} {format_cli_arg('--wait-for-files', list(job.get_wait_for_files()))}"
