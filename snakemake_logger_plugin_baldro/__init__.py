"""Calm output for `snakemake --logger baldro`: one line per finished job, in a terminal as in a pipe or a CI log.

Snakemake finds this package by its name. Events used (`snakemake_interface_logger_plugins.common.LogEvent`) and what
is read from their records; an attribute that is missing costs its part of a line, never the line:

    WORKFLOW_STARTED                 the clock starts
    RUN_INFO      stats              rule -> number of jobs, for the first line, the estimate and the dry-run table
    JOB_INFO      jobid, rule_name, wildcards, output, log, shellcmd, reason    a job starts, or would (dry run)
    SHELLCMD      shellcmd, cmd      its command, shown with --printshellcmds
    JOB_FINISHED  job_id             a job is done; its line waits for the PROGRESS that follows
    PROGRESS      total              number of jobs, which grows at a checkpoint
    JOB_ERROR     jobid, rule_name, rule_msg, aux, log, shellcmd                a job failed
    ERROR                            an exception: a job's, or the workflow's own

Other records pass at level warning and above, or all with --verbose; below it only `NOTICES`, and what Snakemake says
when it runs no workflow (--unlock). Its own log under .snakemake/log keeps everything.
"""

import re
import sys
import textwrap
import time
from collections import Counter, defaultdict
from dataclasses import replace
from logging import ERROR, INFO, WARNING, LogRecord
from statistics import fmean

from snakemake_interface_logger_plugins.base import LogHandlerBase

from . import lines
from .lines import Job, duration, read_job

LOG_TAIL_LINES = 3
LONG_JOB_SECONDS = 20.0  # a terminal is told when a job starts that takes this long, or may
LABEL_WIDTH = 60  # of the label's column, at most
REASON_WIDTH = 240  # a target of a thousand files has a reason of a thousand paths
NOTICES = ("Nothing to be done", "Terminating processes", "Will exit after")
CHATTER = ("Assuming unrestricted shared filesystem", "Building DAG of jobs")
SAID_BY_LAST_LINE = ("Exiting because a job execution failed", "WorkflowError:\nAt least one job did not complete")


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
        self.planned, self.done, self.total = Counter(), Counter(), 0  # jobs by rule, by rule, in all
        self.jobs: dict[object, Job] = {}  # by job id
        self.running, self.failed = set(), set()  # job ids
        self.finished: list[tuple[Job, float]] = []  # with seconds, until PROGRESS comes
        self.seconds: defaultdict[str, list[float]] = defaultdict(list)  # of finished jobs, by rule
        self.command_errors: list[str] = []  # until their JOB_ERROR comes
        self.noticed: set[str] = set()
        self.start, self.saw_error, self.is_closed = None, False, False

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
        if text.startswith(SAID_BY_LAST_LINE) or text in self.noticed:
            return
        is_notice = text.startswith(NOTICES) or (self.start is None and level >= INFO and not text.startswith(CHATTER))
        if level >= WARNING or self.common_settings.verbose or getattr(record, "event", None) == "debug_dag":
            style = "dim" if level < WARNING else "yellow" if level < ERROR else "red"
            self.say((self.format(record).rstrip(), style))
        elif is_notice:
            self.noticed.add(text)  # the scheduler repeats some at every turn
            self.say(text)

    def on_workflow_started(self, record: LogRecord) -> None:
        self.start = record.created

    def on_run_info(self, record: LogRecord) -> None:
        if self.planned:  # a dry run sends it twice
            return
        self.planned.update(getattr(record, "stats", None) or {})
        self.total = self.planned.pop("total", 0) or self.planned.total()
        if not self.common_settings.dryrun:
            kinds = ", ".join(f"{n} {rule}" for rule, n in self.planned.items())
            self.say((f"{self.total} job{'s' * (self.total != 1)}: ", "bold"), kinds)

    def on_job_info(self, record: LogRecord) -> None:
        job, jobid = read_job(record), getattr(record, "jobid", None)
        self.jobs[jobid] = job
        self.running.add(jobid)
        may_be_long = fmean(self.seconds.get(job.rule, [LONG_JOB_SECONDS])) >= LONG_JOB_SECONDS
        if jobid in self.failed:
            self.failed.remove(jobid)
            self.say((f"again   {job.name}", "yellow"))
        elif self.lists_jobs and self.common_settings.dryrun:
            self.say((job.name, "bold"))
            if "reason" not in self.quiet:
                self.say((f"    {textwrap.shorten(str(getattr(record, 'reason', '')), REASON_WIDTH)}", "dim"))
        elif self.lists_jobs and self.is_terminal and may_be_long and not job.is_target:
            self.say((f"started {job.name}", "dim"))

    def on_shellcmd(self, record: LogRecord) -> None:
        command = getattr(record, "shellcmd", None) or getattr(record, "cmd", None)
        if command and self.lists_jobs and self.common_settings.printshellcmds:
            self.say((f"    $ {command.strip()}", "dim"))

    def on_job_finished(self, record: LogRecord) -> None:
        job = self.jobs.get(getattr(record, "job_id", None)) or read_job(record)
        self.running.discard(getattr(record, "job_id", None))
        self.finished.append((job, record.created - job.start))

    def on_progress(self, record: LogRecord) -> None:
        self.total = getattr(record, "total", None) or self.total
        for job, seconds in self.finished:
            self.done[job.rule] += 1
            if not job.is_target:
                self.seconds[job.rule].append(seconds)
            if self.lists_jobs and not job.is_target:
                self.say_finished(job, seconds, record.created)
        self.finished.clear()

    def say_finished(self, job: Job, seconds: float, now: float) -> None:
        rule_width = max(map(len, self.planned), default=0)
        label_width = min(LABEL_WIDTH, max(len(known.label) for known in [job, *self.jobs.values()]))
        columns = f"{job.rule:<{rule_width}}", f"{job.label:<{label_width}}", f"{duration(seconds):>6}"
        left = self.seconds_left(now)
        self.say(
            (f"[{self.done.total():>{len(str(self.total))}}/{self.total}] ", "green"),
            "  ".join(filter(None, columns)),
            ("" if left is None else f"   about {duration(left, 0)} left", "dim"),
        )

    def seconds_left(self, now: float) -> float | None:
        gone = self.done + Counter(self.jobs[jobid].rule for jobid in self.failed & self.jobs.keys())
        unfinished = self.planned - gone
        unfinished["(from a checkpoint)"] = max(0, self.total - (gone + unfinished).total())
        running = [(self.jobs[jobid].rule, now - self.jobs[jobid].start) for jobid in self.running]
        elapsed = now - min((job.start for job in self.jobs.values()), default=now)
        return lines.seconds_left(unfinished=unfinished, finished=self.seconds, running=running, elapsed=elapsed)

    def on_job_error(self, record: LogRecord) -> None:
        failed, jobid = read_job(record), getattr(record, "jobid", None)
        error = next((text for text in self.command_errors if failed.command and failed.command in text), "")
        self.command_errors = [text for text in self.command_errors if text is not error]
        job = replace(self.jobs.get(jobid, failed), logs=failed.logs)  # an executor may add its own log
        self.say_failed(jobid, job, record.created, lines.failure_details(record), lines.exit_status(error))

    def say_failed(self, jobid: object, job: Job, now: float, details: list[str], status: str = "") -> None:
        self.running.discard(jobid)
        self.failed.add(jobid)
        after = ", ".join(filter(None, (f"after {duration(now - job.start)}", status)))
        self.say((f"FAILED  {job.name}", "bold red"), f"  ({after})")
        for line in details + lines.log_lines(job.logs, 0 if self.common_settings.show_failed_logs else LOG_TAIL_LINES):
            self.say(f"    {line}")

    def on_error(self, record: LogRecord) -> None:
        text = record.getMessage().strip()
        self.saw_error = True
        unwritten = re.search(r"^Job (\d+) +completed successfully, but", text, re.MULTILINE)
        job = self.jobs.get(int(unwritten[1])) if unwritten else None
        if text.startswith("RuleException:\nCalledProcessError"):
            self.command_errors.append(text)
        elif job:  # outputs are missing: no JOB_ERROR follows
            self.say_failed(int(unwritten[1]), job, record.created, text.splitlines()[1:])
        elif not text.startswith(SAID_BY_LAST_LINE):
            self.say((lines.error_message(text), "red"))

    def say_last(self) -> None:
        for text in self.command_errors:
            self.say((lines.error_message(text), "red"))
        if self.common_settings.dryrun and self.planned:
            for line in [*lines.count_table(self.planned, self.total), "dry run: nothing was run"]:
                self.say(line)
        elif self.planned:
            done, took = self.done.total(), time.time() - (self.start or time.time())
            if "progress" in self.quiet:  # no job was reported finished
                done = None if self.saw_error else self.total
            line = lines.last_line(done=done, failed=len(self.failed), total=self.total, seconds=took)
            self.say((line, "bold green" if done == self.total else "bold red"))
