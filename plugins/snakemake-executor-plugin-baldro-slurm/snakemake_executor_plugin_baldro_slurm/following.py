"""What follows submissions: which members have ended, how, and what is to be done about a submission whose members all have."""

import os
import time
from collections.abc import AsyncGenerator
from typing import Any

from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo

from . import slurm
from .submission import PREFIX, Submission


class Following:
    """The part of the executor that looks at its jobs every few seconds, and accounts for those that are over."""

    async def check_active_jobs(self, active_jobs: list[SubmittedJobInfo]) -> AsyncGenerator[SubmittedJobInfo, None]:
        """Report what has ended; yield the rest."""
        names = self._names_alive() if self.is_ready else None
        self.ends = {}
        for info in active_jobs:
            if not self._settle_or_look_again(info, names):
                yield info
        if names is not None:
            self._close(names)

    def _names_alive(self) -> set[str] | None:
        try:
            jobs = slurm.live_jobs(PREFIX)
        except slurm.Unanswered as error:
            if not self.silent:
                self.logger.warning(f"SLURM does not answer ({error}); its jobs go on, and so does the waiting.")
            self.silent = True
            return None
        if self.silent:
            self.logger.warning("SLURM answers again.")
        self.silent = False
        for job in jobs:
            if job.name in self.submissions and slurm.NEVER.search(job.reason):
                self._warn_once(
                    f"SLURM job {job.job} does not start by itself: {job.reason} (scontrol release, or scancel)"
                )
        return {job.name for job in jobs}

    def _warn_once(self, text: str) -> None:
        if text not in self.warned:
            self.warned.add(text)
            self.logger.warning(text)

    def _end_of(self, job: str | None) -> slurm.End | None:
        """How a job ended, asked once a round."""
        if job and job not in self.ends:
            self.ends[job] = slurm.end_of(job)
        return self.ends.get(job)

    def _settle_or_look_again(self, info: SubmittedJobInfo, names: set[str] | None) -> bool:
        """An exception would end the thread that follows all jobs; a disk that cannot be read now is read in the next round."""
        try:
            return self._settle(info, names)
        except OSError as error:
            self._warn_once(f"{error}; looking again")
            return False

    def _settle(self, info: SubmittedJobInfo, names: set[str] | None) -> bool:
        """Report a member's end, if it has ended."""
        submission, index = info.aux["submission"], info.aux["index"]
        alive = names is None or submission.name in names
        if alive and names is not None:
            self.gone_since.pop(submission.name, None)
        status = submission.exit_status(index)
        if status is None and alive:
            return False
        end = None
        if status is None:  # the job is gone, and the member left no word: was it cut off, or is its word on its way?
            os.listdir(submission.folder)  # a network file system then forgets that the file was not there
            since = self.gone_since.setdefault(submission.name, time.monotonic())
            end = self._end_of(submission.job() or info.external_jobid)
            waited = time.monotonic() - since
            if waited < (self.latency if end else 6 * self.latency):
                return False
        self.told[id(info.job)] = (submission, index)
        if status == 0:
            self.report_job_success(info)
        else:
            self._report_failure(info, submission, index, end)
        return True

    def handle_job_success(self, job: Any) -> None:
        """Snakemake has recorded the job: it need not be heard of again."""
        self._see(job)

    def handle_job_error(self, job: Any) -> None:
        """The same of a failure."""
        self._see(job)

    def _see(self, job: Any) -> None:
        submission, index = self.told.pop(id(job), (None, 0))
        if submission:
            submission.see(index)

    @property
    def latency(self) -> float:
        """Seconds in which a node's files must show up here."""
        return float(self.workflow.execution_settings.latency_wait)

    def _report_failure(
        self, info: SubmittedJobInfo, submission: Submission, index: int, end: slurm.End | None
    ) -> None:
        external, status = submission.job() or info.external_jobid, submission.exit_status(index)
        said = submission.last_words(index)
        end = end or self._end_of(external)
        known = {"asked_mb": submission.mem_mb, "minutes": submission.minutes, "stopped": submission.stopped()}
        why = slurm.reason(end, **known, said=said, status=status)
        if status is not None and why == said and slurm.is_final(said):  # no further attempt would end otherwise
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
        for submission in self._settled():
            if submission.name in names:
                continue
            job = submission.job()
            end = self._end_of(job)
            since = self.gone_since.setdefault(submission.name, time.monotonic())
            if job and end is None and time.monotonic() - since < self.latency:
                continue  # the accounts may still be on their way
            try:
                if job:
                    self.accounts.add(submission, job, end)
            except OSError as error:
                self._warn_once(f"{error}; looking again")
                continue
            self.submissions.pop(submission.name)
            self.adoptable.pop(submission.name, None)
            self.gone_since.pop(submission.name, None)
            submission.remove()

    def cancel(self) -> None:
        """Ctrl-C, or an error of Snakemake's own: nothing more is submitted, and what is under way is cancelled."""
        self.is_ending = True
        self._job_submission_executor.shutdown(wait=True, cancel_futures=True)
        super().cancel()

    def cancel_jobs(self, active_jobs: list[SubmittedJobInfo]) -> None:
        """Cancel every job of this Snakemake (`active_jobs` is empty while they are being looked at); training writes its checkpoints."""
        try:
            slurm.cancel([job.job for job in slurm.live_jobs(PREFIX) if job.name in self.submissions])
        except slurm.Unanswered as error:
            self.logger.warning(f"SLURM jobs may go on ({error}); look with squeue --me")

    def shutdown(self) -> None:
        """Wait a little for the ends of the last jobs; one that still holds a node, though its members have ended, is cancelled."""
        super().shutdown()
        if self._wait_for_ends() and not self.is_ending:
            self.cancel_jobs([])
            self._wait_for_ends()

    def _wait_for_ends(self) -> bool:
        """Close what has ended, for as long as files may take to show up; True if something is left."""
        until = time.monotonic() + self.latency
        while self._settled() and time.monotonic() < until:
            self.ends = {}
            if (names := self._names_alive()) is not None:
                self._close(names)
            time.sleep(1 if self._settled() else 0)
        return bool(self._settled())

    def _settled(self) -> list[Submission]:
        return [submission for submission in list(self.submissions.values()) if submission.is_settled()]
