"""What failed for good, told together at the end of a run: which job, where, why, and the log to read."""

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten, wrap
from typing import Any

from baldro.slurm import stopped_by

from .lines import Job
from .logs import own_error

WIDTH = 100  # columns
MOST = 20  # failures that are shown one by one
UNKNOWN = "failed without a word"
BY_CTRL_C = re.compile(r"exit status 130$|SIGINT")


@dataclass(frozen=True, kw_only=True)
class Failure:
    """One failed attempt of a job, or of a group of jobs that run as one."""

    rule: str
    """as a line calls it (`Job.step`)"""
    jobs: int = 1
    """how many jobs it is to Snakemake"""
    label: str
    """the run, or another wildcard"""
    reason: str
    """in words"""
    log: str
    """to read first; empty if there is none"""
    job: str = ""
    """SLURM's id, state and node; all three empty if the job ran on this machine"""
    state: str = ""
    node: str = ""

    @property
    def place(self) -> str:
        """`SLURM job 812 OUT_OF_MEMORY on n2`, as far as it is known."""
        known = [f"SLURM job {self.job}" * bool(self.job), self.state, f"on {self.node}" * bool(self.node)]
        return " ".join(filter(None, known))

    @property
    def words(self) -> str:
        """The reason without the job's own label, which stands beside it."""
        own = rf"(?<![\w-]){re.escape(self.label)}(?![\w-])"
        return re.sub(own, "...", self.reason) if self.label else self.reason

    @property
    def kind(self) -> str:
        """The reason without what differs from job to job: failures of one kind are told together."""
        return stopped_by(self.state, self.reason) or re.sub(r"\d[\d.,]*(e[+-]?\d+)?", "...", self.words)


def read_failure(job: Job, details: Sequence[str], *, status: str, slurm: Mapping[str, Any] | None) -> Failure:
    """How a job failed.

    Args:
        details: what its record says; commands and remarks in brackets are no reasons.
        status: how its command ended, if known.
        slurm: job, state, node, reason and log, where SLURM ran it; they are told then.
    """
    said = {key: str(value) for key, value in (slurm or {}).items() if value is not None}
    detail = next((line for line in details if not line.startswith(("$ ", "("))), "")
    reason = said.get("reason") or detail or own_error(job.logs) or status or UNKNOWN
    log = said.get("log") or next(map(str, job.logs), "")
    place = {key: said.get(key, "") for key in ("job", "state", "node")}
    return Failure(rule=job.step, jobs=job.jobs, label=job.label, reason=" ".join(reason.split()), log=log, **place)


def is_interruption(failure: Failure, *, status: str, is_stopping: bool) -> bool:
    """Whether it was the user who ended a job, by Ctrl-C: then nothing is wrong with it.

    Args:
        status: how its command ended.
        is_stopping: Snakemake was interrupted, and ends its jobs.
    """
    ended_by_snakemake = failure.state == "CANCELLED" or re.search(
        r"SIGTERM|exit status 143", f"{status} {failure.reason}"
    )
    return bool(BY_CTRL_C.search(status) or (is_stopping and ended_by_snakemake))


def summary(done_again: Sequence[Sequence[Failure]], for_good: Sequence[Sequence[Failure]]) -> list[tuple[str, str]]:
    """What stands at the end of a run, lines with their style; nothing if no job failed."""
    told = [(tried_again(done_again), "yellow")] if done_again else []
    first, *others = failure_lines(for_good) if for_good else [""]
    return told + [(first, "bold red")] * bool(first) + [(line, "") for line in others]


def failure_lines(attempts: Sequence[Sequence[Failure]], *, width: int = WIDTH, most: int = MOST) -> list[str]:
    """What failed for good, by reason, the most frequent first; of every job its failed attempts, of which the last counts.

    Of more than `most` jobs that many are shown, so that every reason keeps its share.
    """
    kinds = Counter(own[-1].kind for own in attempts)
    by_kind = {kind: [own for own in attempts if own[-1].kind == kind] for kind, _ in kinds.most_common()}
    shares = _shares([len(own) for own in by_kind.values()], most)
    shown = [own for group, share in zip(by_kind.values(), shares, strict=True) for own in group[:share]]
    jobs = sum(own[-1].jobs for own in attempts)
    columns = _columns([own[-1] for own in shown])
    lines = [f"failed for good: {len(attempts)}" + (f" ({jobs} jobs)" if jobs != len(attempts) else "")]
    for (kind, group), share in zip(by_kind.items(), shares, strict=True):
        head = _shared([own[-1] for own in group], kind)
        first = f", of which the first {share}" if share < len(group) else ""
        lines += _wrapped(f"{len(group)} x {head}{first}", "  ", width)
        for own in group[:share]:
            lines += _entry(own, head, columns, width)
    return lines


def _shared(failures: Sequence[Failure], kind: str) -> str:
    """What can be said of all: the reason itself, the reason but for their own labels, or its kind."""
    for said in ({failure.reason for failure in failures}, {failure.words for failure in failures}):
        if len(said) == 1:
            return said.pop()
    return kind


def tried_again(attempts: Sequence[Sequence[Failure]]) -> str:
    """How many jobs failed and were then done, and of what."""
    reasons = Counter(failure.kind for own in attempts for failure in own)
    counts = ", ".join(f"{n} {shorten(kind, 60, placeholder=' ...')}" for kind, n in reasons.most_common())
    one = len(attempts) == 1
    return f"{len(attempts)} job{'s' * (not one)} {'was' if one else 'were'} tried again: {counts}"


def _shares(sizes: Sequence[int], most: int) -> list[int]:
    """How many of each group are shown: one of each in turn, until `most` are."""
    shares = [0] * len(sizes)
    while sum(shares) < min(most, sum(sizes)):
        for i, size in enumerate(sizes):
            shares[i] += shares[i] < size and sum(shares) < most
    return shares


def _columns(failures: Sequence[Failure]) -> dict[str, int]:
    """Widths of what is aligned: the rules of all, the rest of those that SLURM ran."""
    rows = [{"rule": failure.rule, **(_where(failure) if failure.job else {})} for failure in failures]
    return {name: max(len(row.get(name, "")) for row in rows) for name in ("rule", "job", "state", "node", "log")}


def _where(failure: Failure) -> dict[str, str]:
    where = {"job": f"job {failure.job}", "state": failure.state, "node": failure.node} if failure.job else {}
    return where | {"log": _short(failure.log)}


def _entry(own: Sequence[Failure], head: str, columns: Mapping[str, int], width: int) -> list[str]:
    """A failure: rule and run; below them job, state, node and log; then what the heading does not say."""
    failure = own[-1]
    place = [f"{text:<{columns[name] if failure.job else 0}}" for name, text in _where(failure).items()]
    detail = "" if head in (failure.reason, failure.words) else failure.words.removeprefix(f"{head}: ")
    detail = ", ".join(filter(None, [detail, f"{len(own)} attempts" * (len(own) > 1)]))
    second = "  ".join(filter(None, place))
    lines = [f"    {failure.rule:<{columns['rule']}}  {failure.label}".rstrip()]
    if 8 + len(second) + 2 + len(detail) <= width:
        second, detail = f"{second}  {detail}", ""
    return [*lines, *([f"        {second}".rstrip()] if second.strip() else []), *_wrapped(detail, " " * 8, width)]


def _wrapped(text: str, indent: str, width: int) -> list[str]:
    """A text in two lines at most; a path or a run's id stays whole."""
    whole = {"break_long_words": False, "break_on_hyphens": False, "max_lines": 2, "placeholder": " ..."}
    return wrap(text, width, initial_indent=indent, subsequent_indent=indent, **whole)


def _short(path: str) -> str:
    """A path as seen from here, if it lies below."""
    return os.path.relpath(path) if path and Path(path).is_relative_to(Path.cwd()) else path
