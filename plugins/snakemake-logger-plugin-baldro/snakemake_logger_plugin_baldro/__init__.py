"""Calm output for `snakemake --logger baldro`: one line per finished job, in a terminal as in a pipe or a CI log.

Snakemake finds this package by its name. Events used (`snakemake_interface_logger_plugins.common.LogEvent`) and what
is read from their records; an attribute that is missing costs its part of a line, never the line:

    WORKFLOW_STARTED                 the clock starts
    RUN_INFO      stats              rule -> number of jobs, for the first line, the estimate and the dry-run table
    JOB_INFO      jobid, rule_name, wildcards, output, log, shellcmd, reason, resources, threads
                                     a job starts, or would (dry run)
    GROUP_INFO    jobs               the same for jobs that run as one; a JOB_INFO of each follows
    SHELLCMD      shellcmd, cmd      its command, shown with --printshellcmds
    JOB_FINISHED  job_id             a job is done; its line waits for the PROGRESS that follows
    PROGRESS      total              number of jobs, which grows at a checkpoint
    JOB_ERROR     jobid, rule_name, rule_msg, aux, log, shellcmd                a job failed
    GROUP_ERROR   job_error_info, slurm                   a group failed; a JOB_ERROR of each follows, which adds nothing
    ERROR                            an exception: a job's, or the workflow's own

Other records pass at level warning and above, or all with --verbose; below it only `NOTICES`, and what Snakemake says
when it runs no workflow (--unlock). Its own log under .snakemake/log keeps everything.
"""

import re
import sys
import textwrap
import time
from dataclasses import replace
from logging import ERROR, INFO, WARNING, LogRecord
from pathlib import Path

from snakemake_interface_logger_plugins.base import LogHandlerBase

from . import lines
from .failures import is_interruption, read_failure, summary
from .jobs import Jobs
from .lines import Job, duration, read_job
from .logs import log_lines
from .submissions import local_rules, read_request, submissions

LOG_TAIL_LINES = 3
REASON_WIDTH = 240  # a target of a thousand files has a reason of a thousand paths
STOPPING = "Terminating processes on user request"
NOTICES = ("Nothing to be done", STOPPING, "Will exit after")
CHATTER = ("Assuming unrestricted shared filesystem", "Building DAG of jobs")
SAID_BY_LAST_LINE = ("Exiting because a job execution failed", "WorkflowError:\nAt least one job did not complete")
OF_NO_USE = ("--keep-incomplete mode is set",)  # the SLURM profile sets it, and says why


class LogHandler(LogHandlerBase):
    """Snakemake's terminal output, made from its log records; `on_x` takes the records of event x."""

    writes_to_stream = True  # this replaces the default output
    writes_to_file = False
    has_filter = True  # --quiet is heeded here: the default filter would hide failures too
    has_formatter = False  # what passes keeps Snakemake's wording
    needs_rulegraph = False

    def __post_init__(self) -> None:
        options = self.common_settings
        stream = sys.stdout if options.stdout else sys.stderr
        self.is_terminal = stream.isatty()
        self.say = lines.make_say(stream, plain=options.nocolor)
        self.quiet = {getattr(kind, "name", str(kind)).lower() for kind in options.quiet or ()}
        if "all" in self.quiet and not options.dryrun:
            self.say = lambda *parts: None
        self.lists_jobs = not self.quiet & {"rules", "progress", "all"}
        self.jobs = Jobs()
        self.told: set[object] = set()  # ids of jobs whose failure the record of their group has told
        self.local, self.asked = None, {}  # of a dry run: rules that are local, if known, and what jobs ask for, by id
        self.command_errors: list[str] = []  # until their JOB_ERROR comes
        self.noticed: set[str] = set()
        self.start, self.saw_error, self.is_stopping, self.is_closed = None, False, False, False

    def emit(self, record: LogRecord) -> None:
        """Say what the record means, if anything; an exception here would end the thread that delivers records."""
        try:
            getattr(self, f"on_{getattr(record, 'event', None)}", self.on_message)(record)
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """Say the last line, once: Snakemake closes a handler twice."""
        if not self.is_closed:
            self.is_closed = True
            self.say_last()
        super().close()

    def on_message(self, record: LogRecord) -> None:
        text, level = record.getMessage(), record.levelno
        if text.startswith(SAID_BY_LAST_LINE + OF_NO_USE) or text in self.noticed:
            return
        is_notice = text.startswith(NOTICES) or (self.start is None and level >= INFO and not text.startswith(CHATTER))
        if level >= WARNING or self.common_settings.verbose or getattr(record, "event", None) == "debug_dag":
            style = "dim" if level < WARNING else "yellow" if level < ERROR else "red"
            self.say((self.format(record).rstrip(), style))
        elif is_notice:
            self.noticed.add(text)  # the scheduler repeats some at every turn
            self.is_stopping |= text.startswith(STOPPING)
            self.say(text)

    def on_workflow_started(self, record: LogRecord) -> None:
        self.start = record.created

    def on_run_info(self, record: LogRecord) -> None:
        jobs = self.jobs
        if jobs.planned:  # a dry run sends it twice
            return
        jobs.planned.update(getattr(record, "stats", None) or {})
        jobs.total = jobs.planned.pop("total", 0) or jobs.planned.total()
        if not self.common_settings.dryrun:
            kinds = ", ".join(f"{n} {rule}" for rule, n in jobs.planned.items())
            self.say((f"{jobs.total} job{'s' * (jobs.total != 1)}: ", "bold"), kinds)

    def on_group_info(self, record: LogRecord) -> None:
        members = list(getattr(record, "jobs", None) or ())
        self.jobs.add_group(members)
        if self.common_settings.dryrun:
            self.local = local_rules(members)

    def on_job_info(self, record: LogRecord) -> None:
        job, jobid = read_job(record), getattr(record, "jobid", None)
        is_whole = self.jobs.start(jobid, job)
        if self.common_settings.dryrun:
            self.asked[jobid] = read_request(record)
            self.say_planned(job, getattr(record, "reason", ""))
        elif is_whole:
            self.say_started(self.jobs.group(jobid))

    def say_planned(self, job: Job, reason: object) -> None:
        if self.lists_jobs:
            by_rule = f"{job.rule}  {job.wildcards}".rstrip()  # as --until and --set-resources know it
            self.say((by_rule, "bold"))
            if "reason" not in self.quiet:
                self.say((f"    {textwrap.shorten(str(reason), REASON_WIDTH)}", "dim"))

    def say_started(self, ids: tuple) -> None:
        job = self.jobs.told_as(ids)
        if self.jobs.try_again(ids):
            self.say((f"again   {job.name}", "yellow"))
        elif self.lists_jobs and self.is_terminal and not job.is_target and self.jobs.may_be_long(job):
            self.say((f"started {job.name}", "dim"))

    def on_shellcmd(self, record: LogRecord) -> None:
        command = getattr(record, "shellcmd", None) or getattr(record, "cmd", None)
        if command and self.lists_jobs and self.common_settings.printshellcmds:
            self.say((f"    $ {command.strip()}", "dim"))

    def on_job_finished(self, record: LogRecord) -> None:
        self.jobs.finish(getattr(record, "job_id", None), record)

    def on_progress(self, record: LogRecord) -> None:
        self.jobs.total = getattr(record, "total", None) or self.jobs.total
        for job, seconds in self.jobs.count():
            if self.lists_jobs and not job.is_target:
                self.say_finished(job, seconds, record.created)

    def say_finished(self, job: Job, seconds: float, now: float) -> None:
        count, left = self.jobs.progress(), self.jobs.seconds_left(now)
        columns = lines.finished_columns(job, seconds, rules=self.jobs.planned, known=self.jobs.by_id.values())
        self.say((f"{count} ", "green"), columns, ("" if left is None else f"   about {duration(left, 0)} left", "dim"))

    def on_job_error(self, record: LogRecord) -> None:
        failed, jobid = read_job(record), getattr(record, "jobid", None)
        if jobid in self.told:
            self.told.remove(jobid)
            return
        error = next((text for text in self.command_errors if failed.command and failed.command in text), "")
        self.command_errors = [text for text in self.command_errors if text is not error]
        job = replace(self.jobs.by_id.get(jobid, failed), logs=failed.logs)  # an executor may add its own log
        details, slurm = lines.failure_details(record), (getattr(record, "aux", None) or {}).get("slurm")
        self.say_failed((jobid,), job, record.created, details, slurm=slurm, status=lines.exit_status(error))

    def on_group_error(self, record: LogRecord) -> None:
        infos = getattr(record, "job_error_info", None) or []
        ids = self.jobs.group(infos[0]["jobid"]) if infos else ()
        self.told.update(info["jobid"] for info in infos)
        if job := self.jobs.told_as(ids):
            self.say_failed(ids, job, record.created, [], slurm=getattr(record, "slurm", None))

    def say_failed(
        self, ids: tuple, job: Job, now: float, details: list[str], *, slurm: dict | None = None, status: str = ""
    ) -> None:
        failure = read_failure(job, details, status=status, slurm=slurm)
        if is_interruption(failure, status=status, is_stopping=self.is_stopping):
            self.jobs.interrupt(ids)
            self.say((f"interrupted  {job.name}", "yellow"), f"  (after {duration(now - job.start)})")
            return
        self.jobs.fail(ids, failure)
        after = ", ".join(filter(None, (f"after {duration(now - job.start)}", status, failure.place)))
        self.say((f"FAILED  {job.name}", "bold red"), f"  ({after})")
        shown = [failure.reason] if slurm else details
        logs = list(dict.fromkeys([*job.logs, *map(Path, filter(None, [failure.log]))]))
        for line in shown + log_lines(logs, 0 if self.common_settings.show_failed_logs else LOG_TAIL_LINES):
            self.say(f"    {line}")

    def on_error(self, record: LogRecord) -> None:
        text = record.getMessage().strip()
        self.saw_error = True
        unwritten = re.search(r"\bJob (\d+) +(completed successfully, but.*)", text, re.DOTALL)
        ids = self.jobs.group(int(unwritten[1])) if unwritten else ()
        job = self.jobs.told_as(ids)
        if text.startswith("RuleException:\nCalledProcessError"):
            self.command_errors.append(text)
        elif job:  # outputs are missing: no JOB_ERROR follows
            self.say_failed(ids, job, record.created, re.split(r"(?<=\.) |\n", unwritten[2]))
        elif not text.startswith(SAID_BY_LAST_LINE):
            self.say((lines.error_message(text), "red"))

    def say_last(self) -> None:
        jobs = self.jobs
        for text in self.command_errors:
            self.say((lines.error_message(text), "red"))
        if self.common_settings.dryrun and jobs.planned:
            counts = lines.count_table(jobs.planned, jobs.total)
            for line in [*counts, *submissions(jobs, self.asked, self.local), "dry run: nothing was run"]:
                self.say(line)
        elif jobs.planned:
            done, took = jobs.done.total(), time.time() - (self.start or time.time())
            if "progress" in self.quiet:  # no job was reported finished
                done = None if self.saw_error else jobs.total
            for line, style in summary(jobs.done_again(), jobs.failed_for_good()):
                self.say((line, style))
            counts = dict(failed=len(jobs.failed), interrupted=len(jobs.interrupted))
            line = lines.last_line(done=done, **counts, total=jobs.total, seconds=took)
            self.say((line, "bold green" if done == jobs.total else "bold red"))
