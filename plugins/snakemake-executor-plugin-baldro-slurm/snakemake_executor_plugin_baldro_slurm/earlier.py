"""What an earlier Snakemake left when it was killed: jobs that still wait or run, and jobs that have ended since."""

import contextlib
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo

from . import slurm
from .jobs import newest_input, parts, specs
from .submission import PREFIX, Submission, read_all

PATIENCE = 10.0
"""Seconds until SLURM is asked again."""


class Earlier:
    """The part of the executor that goes on with it. A job is never submitted while an earlier one like it lives."""

    def take_over(self) -> None:
        """Find it; wait for it or cancel it, as the setting has it."""
        left = read_all(self.folder)
        known = {submission.name for submission in left}
        lives = {job.name: job for job in self.live() if job.name in known or self._is_here(job)}
        if lives and self.workflow.executor_settings.earlier_jobs == "cancel":
            self.logger.warning(f"{len(lives)} jobs of an earlier run are cancelled (earlier-jobs: cancel).")
            self._end(lives)
            lives = {}
        if unknown := lives.keys() - known:
            ids = ", ".join(lives[name].job for name in unknown)
            self.logger.warning(f"SLURM jobs {ids} of this folder are of no known submission; waiting for them to end.")
            self._wait_until_gone(unknown)
        for submission in left:
            self.submissions[submission.name] = submission
            if submission.name not in lives:  # what it did not do it will never do
                submission.give_up()
            if not submission.is_settled():
                self.adoptable[submission.name] = submission
        if lives:
            self.logger.warning(f"{len(lives)} jobs of an earlier run are in the queue; going on with them.")
        if self.adoptable:
            self._acknowledge_finished()

    def _is_here(self, job: slurm.Live) -> bool:
        return Path(job.folder) == Path(self.workflow.workdir_init)

    def _acknowledge_finished(self) -> None:
        """Record what ended well after its Snakemake was killed, and which the DAG of this one takes as done."""
        needed = {key for job in self.dag.needrun_jobs() for key in specs([job])}
        done = {key: (spec, job) for job in self.dag.jobs for key, spec in specs([job]).items() if key not in needed}
        for submission in self.adoptable.values():
            for index, member in enumerate(submission.members):
                if submission.is_seen(index) or submission.exit_status(index) != 0 or needed & set(member.specs):
                    continue
                for key, spec in member.specs.items():
                    now, job = done.get(key, (spec, None))
                    if now != spec:
                        raise WorkflowError(
                            f"{key} was done by an earlier run with other settings or code; delete {', '.join(job.output)} "
                            "and start again"
                        )
                    if job is not None:
                        self.workflow.async_run(self.workflow.persistence.finished(job))
                submission.see(index)

    def adopt(self, job: Any) -> SubmittedJobInfo | None:
        """The earlier submission that does, or did, this very job; what does another version of it is ended first."""
        wanted, clashing = specs(parts(job)), set()
        for submission in list(self.adoptable.values()):
            for index, member in enumerate(submission.members):
                if submission.is_seen(index) or not wanted.keys() & member.specs.keys():
                    continue
                if wanted.items() <= member.specs.items() and self._is_fresh(job, submission, index):
                    aux = {"submission": submission, "index": index}
                    return SubmittedJobInfo(job, external_jobid=submission.job(), aux=aux)
                if submission.exit_status(index) is None:
                    clashing.add(submission.name)
                submission.see(index)
        if clashing:
            self._end({job.name: job for job in self.live() if job.name in clashing})
        return None

    def _is_fresh(self, job: Any, submission: Submission, index: int) -> bool:
        """Whether an earlier job is of the input that there is now, and its output is there if it has ended."""
        status = submission.exit_status(index)
        if status == 0:
            outputs = [str(path) for part in parts(job) for path in part.output if not path.flags.get("temp")]
            there = all(Path(path).exists() for path in outputs)
            return there and newest_input(job) <= submission.ended_at(index)
        began = submission.began()
        return status is None and (began is None or newest_input(job) <= began)

    def live(self) -> list[slurm.Live]:
        """The user's live jobs of this executor, however long the controller is away.

        Raises:
            WorkflowError: it is away, and Ctrl-C was pressed.
        """
        return self.patiently(lambda: slurm.live_jobs(PREFIX))

    def patiently(self, action: Callable[[], Any]) -> Any:
        """What SLURM answers in the end."""
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

    def _end(self, jobs: dict[str, slurm.Live]) -> None:
        """Cancel jobs and see them gone; scancel may fail for one that has just ended, so what counts is the queue."""
        with contextlib.suppress(slurm.Unanswered):
            slurm.cancel([job.job for job in jobs.values()])
        self._wait_until_gone(jobs)

    def _wait_until_gone(self, names: Iterable[str]) -> None:
        names = set(names)
        while any(job.name in names for job in self.live()):
            time.sleep(2)
