"""The pure parts of the lines: what a record says of a job, durations, the estimate, errors."""

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from logging import LogRecord
from pathlib import Path
from statistics import fmean
from typing import TextIO

from .logs import newest_first

LABEL_WIDTH = 60  # of the label's column, at most
TRAINS = re.compile(r"\bbaldro train ")
VALIDATION_ERRORS = ("WorkflowError", "BaldroError")  # their message says all; where it was raised adds nothing
BOILERPLATE = "For further error details see the cluster/cloud log and the log files of the involved rule(s)."


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a JOB_INFO or JOB_ERROR record says of its job."""

    rule: str
    step: str
    """what it is called in a line: the stage of a run that it trains, else its rule"""
    label: str
    """the wildcards' values; one that begins with - is an ending of the one before"""
    wildcards: str
    start: float
    """seconds since the epoch"""
    command: str
    logs: tuple[Path, ...]
    is_target: bool
    """only collects files, like `rule all`: takes no time, deserves no line"""
    jobs: int = 1
    """more than one for a group that is told as one"""

    @property
    def name(self) -> str:
        """Step and all wildcards."""
        return f"{self.step}  {self.wildcards}".rstrip()


def read_job(record: LogRecord) -> Job:
    """The job of a record that may lack any of its attributes."""
    rule, wildcards = str(getattr(record, "rule_name", "job")), dict(getattr(record, "wildcards", None) or {})
    command = str(getattr(record, "shellcmd", None) or "").strip()
    return Job(
        rule=rule,
        step=(TRAINS.search(command) and stage_of(wildcards.get("run"))) or rule,
        label=" ".join(str(value) for value in wildcards.values() if value).replace(" -", "-"),
        wildcards=", ".join(f"{name}={value}" for name, value in wildcards.items()),
        start=record.created,
        command=command,
        logs=tuple(Path(str(path)).absolute() for path in getattr(record, "log", None) or ()),
        is_target=not (command or getattr(record, "output", True)),
    )


def stage_of(run: object) -> str:
    """The stage of a run, by its id: a base model and a finetuned one are trained by one rule; empty if it is no id."""
    from baldro.errors import BaldroError  # here, because every Snakemake process imports this package
    from baldro.runs import Run

    try:
        return Run.parse(str(run)).stage
    except BaldroError:
        return ""


def as_one(jobs: Sequence[Job]) -> Job:
    """The jobs of a group as they are told, `unlearn+score  run=...`; one job is itself."""
    if len(jobs) == 1:
        return jobs[0]
    labels = list(dict.fromkeys(job.label for job in jobs))
    return replace(
        jobs[0],
        rule="+".join(dict.fromkeys(job.rule for job in jobs)),
        step="+".join(dict.fromkeys(job.step for job in jobs)),
        label=labels[0] if len(labels) == 1 else f"{labels[0]} and {len(labels) - 1} more",
        wildcards="; ".join(dict.fromkeys(job.wildcards for job in jobs)),
        start=min(job.start for job in jobs),
        command="",
        logs=newest_first([path for job in jobs for path in job.logs]),
        is_target=all(job.is_target for job in jobs),
        jobs=len(jobs),
    )


def duration(seconds: float, digits: int = 1) -> str:
    """Seconds as `8.2 s`, from one minute on as m:ss or h:mm:ss."""
    if round(seconds, digits) < 60:
        return f"{seconds:.{digits}f} s"
    hours, minutes = divmod(round(seconds) // 60, 60)
    return (f"{hours}:{minutes:02}" if hours else f"{minutes}") + f":{round(seconds) % 60:02}"


def seconds_left(
    *,
    unfinished: Mapping[str, int],
    finished: Mapping[str, Sequence[float]],
    running: Sequence[tuple[str, float]],
    elapsed: float,
) -> float | None:
    """Seconds until all jobs are done, or None while too little is known.

    `unfinished`: rule -> number of jobs, running ones included; `finished`: rule -> seconds of its jobs; `running`:
    (rule, seconds so far). The work left (by the mean of the rule; of all jobs, for a rule not yet seen) is divided by
    the observed parallelism: job-seconds per second of `elapsed`. None while the rules seen make up less than a
    quarter of the jobs left: the first jobs of a workflow are rarely like the others.
    """
    jobs, seen = sum(unfinished.values()), sum(unfinished.get(rule, 0) for rule in finished)
    if not seen or 4 * seen < jobs or elapsed <= 0:
        return None
    overall = [seconds for of_rule in finished.values() for seconds in of_rule]

    def mean(rule: str) -> float:
        return fmean(finished.get(rule) or overall)

    work = sum(n * mean(rule) for rule, n in unfinished.items()) - sum(min(s, mean(rule)) for rule, s in running)
    parallelism = (sum(overall) + sum(s for _, s in running)) / elapsed
    return max(0.0, work) / max(1.0, min(parallelism, jobs))


def finished_columns(job: Job, seconds: float, *, rules: Iterable[str], known: Iterable[Job]) -> str:
    """Step, label and time of a job that is done, aligned with the lines of other rules and known jobs."""
    step_width = max(map(len, [job.step, *rules]))
    label_width = min(LABEL_WIDTH, max(len(each.label) for each in [job, *known]))
    columns = f"{job.step:<{step_width}}", f"{job.label:<{label_width}}", f"{duration(seconds):>6}"
    return "  ".join(filter(None, columns))


def count_table(counts: Mapping[str, int], total: int) -> list[str]:
    """The jobs of each rule and their total, one line each."""
    rows = [*counts.items(), ("total", total)]
    width = max(len(rule) for rule, _ in rows)
    return [f"{rule:<{width}}  {n:>{len(str(total))}}" for rule, n in rows]


def last_line(*, done: int | None, failed: int, interrupted: int = 0, total: int, seconds: float) -> str:
    """How the workflow ended; `done` is None if jobs were not counted."""
    not_run = 0 if done is None else total - done - failed - interrupted
    counts = {"failed": failed, "interrupted": interrupted, "not run": not_run}
    parts = [f"{n} {how}" for how, n in counts.items() if n]
    head = f"of {total} jobs" if done is None else f"{done} of {total} jobs done"
    return ", ".join([head, *parts, f"after {duration(seconds)}"]) if parts else f"{head} in {duration(seconds)}"


def error_message(text: str) -> str:
    """Snakemake's text of an exception; one line, without its stack trace, if its message has one line."""
    head, *rest = text.strip().splitlines() or [""]
    message = [line for line in rest if not line.startswith('  File "')]
    match = re.fullmatch(r'(\w+)(?: in rule \S+)?(?: in file "(.*)", line (\d+))?:', head)
    if match is None or len(message) != 1:
        return "error: " + text.strip().removeprefix("Error: ")
    name, file, line = match.groups()
    if name in VALIDATION_ERRORS:
        return f"error: {message[0]}"
    return f"error: {name}: {message[0]}" + (f" ({file}, line {line})" if file else "")


def failure_details(record: LogRecord) -> list[str]:
    """What a JOB_ERROR record says beyond the log: the executor's message, or the command of a rule without log."""
    details = str(getattr(record, "rule_msg", None) or "").replace(BOILERPLATE, "").splitlines()
    further = {name: value for name, value in (getattr(record, "aux", None) or {}).items() if name != "slurm"}
    details = [line for line in details if line.strip()] + [f"{name}: {value}" for name, value in further.items()]
    job = read_job(record)
    return details if job.logs or not job.command else [*details, f"$ {job.command}", "(the rule has no log)"]


def exit_status(error: str) -> str:
    """How the command of a `CalledProcessError` ended, such as `exit status 1`; empty if it does not say."""
    match = re.search(r"(exit status \d+|died with .*)\.$", error)
    return match[1] if match else ""


def make_say(stream: TextIO, *, plain: bool) -> Callable[..., None]:
    """A function that prints one line, given as strings and (string, rich style) pairs; colour only in a terminal."""
    if not (plain or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not stream.isatty()):
        from rich.console import Console  # here, because every Snakemake process imports this package
        from rich.text import Text

        console = Console(file=stream, force_terminal=True, highlight=False)
        return lambda *parts: console.print(Text.assemble(*parts), soft_wrap=True)

    def say(*parts: str | tuple[str, str]) -> None:
        try:
            print(*(part if isinstance(part, str) else part[0] for part in parts), sep="", file=stream, flush=True)
        except BrokenPipeError:  # the reader left (`| head`): nothing more to say, now or when Python exits
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())

    return say
