"""What the records have told of the jobs so far: which run as one, which run now, are done or failed, and how long they took."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from graphlib import TopologicalSorter
from logging import LogRecord
from statistics import fmean
from typing import Any

from . import lines
from .failures import Failure
from .lines import Job, as_one

LONG_JOB_SECONDS = 20.0  # a terminal is told when a job starts that takes this long, or may


class Jobs:
    """Counts by rule, jobs by id. A tuple of ids is a group of jobs that run as one, or a job alone."""

    def __init__(self) -> None:
        self.planned, self.done, self.total = Counter(), Counter(), 0  # jobs by rule, by rule, in all
        self.by_id: dict[object, Job] = {}
        self.running, self.failed, self.interrupted = set(), set(), set()  # ids
        self.failures: dict[tuple, list[Failure]] = {}  # the failed attempts of a group
        self._groups: dict[object, tuple] = {}  # id -> ids
        self._awaited: set[object] = set()  # ids of groups that start, whose own records are still to come
        self._finished: dict[tuple, list[tuple[Job, float]]] = {}  # with seconds, until PROGRESS comes
        self._seconds: defaultdict[str, list[float]] = defaultdict(list)  # of finished jobs, by rule

    def add_group(self, jobs: list[Any]) -> None:
        """Snakemake's jobs of a group, which starts."""
        ids = in_order(jobs)
        self._groups.update(dict.fromkeys(ids, ids))
        self._awaited.update(ids)

    def group(self, jobid: object) -> tuple:
        """Ids of the jobs that run with this one, itself included, in order."""
        return self._groups.get(jobid, (jobid,))

    def groups(self) -> list[tuple]:
        """Every group, jobs alone left out."""
        return list(dict.fromkeys(self._groups.values()))

    def told_as(self, ids: tuple) -> Job | None:
        """A group as one job; None if nothing is known of it."""
        known = [self.by_id[jobid] for jobid in ids if jobid in self.by_id]
        return as_one(known) if known else None

    def start(self, jobid: object, job: Job) -> bool:
        """A job starts; True if now its whole group is known."""
        self.by_id[jobid] = job
        self.running.add(jobid)
        self._awaited.discard(jobid)
        return not self._awaited & set(self.group(jobid))

    def try_again(self, ids: tuple) -> bool:
        """Whether a group that starts has failed before; it counts as failed no longer."""
        again = bool(self.failed & set(ids))
        self.failed -= set(ids)
        return again

    def finish(self, jobid: object, record: LogRecord) -> None:
        """A job is done."""
        job = self.by_id.get(jobid) or lines.read_job(record)
        self.running.discard(jobid)
        self._finished.setdefault(self.group(jobid), []).append((job, record.created - job.start))

    def count(self) -> Iterator[tuple[Job, float]]:
        """Count what has finished; yields each group as one job, with its seconds."""
        for ids, finished in self._finished.items():
            for job, seconds in finished:
                self.done[job.rule] += 1
                if not job.is_target:  # of a group only the whole time is known
                    self._seconds[job.rule].append(seconds / len(ids))
            yield as_one([job for job, _ in finished]), max(seconds for _, seconds in finished)
        self._finished.clear()

    def progress(self) -> str:
        """`[ 8/61]`."""
        return f"[{self.done.total():>{len(str(self.total))}}/{self.total}]"

    def fail(self, ids: tuple, failure: Failure) -> None:
        """An attempt failed."""
        self.running.difference_update(ids)
        self.failed.update(ids)
        self.failures.setdefault(ids, []).append(failure)

    def interrupt(self, ids: tuple) -> None:
        """The user ended a job; what it failed of before is no longer what it ended of."""
        self.running.difference_update(ids)
        self.interrupted.update(ids)

    def failed_for_good(self) -> list[list[Failure]]:
        """The failed attempts of each group that has failed and was not started again."""
        return [own for ids, own in self.failures.items() if set(ids) & self.failed]

    def done_again(self) -> list[list[Failure]]:
        """The failed attempts of each group that was done later."""
        return [
            own for ids, own in self.failures.items() if not set(ids) & (self.failed | self.running | self.interrupted)
        ]

    def may_be_long(self, job: Job) -> bool:
        """Whether jobs like this one take long, as far as is known."""
        return fmean(self._seconds.get(job.rule, [LONG_JOB_SECONDS])) >= LONG_JOB_SECONDS

    def seconds_left(self, now: float) -> float | None:
        """See `lines.seconds_left`."""
        gone = self.done + Counter(self.by_id[jobid].rule for jobid in self.failed & self.by_id.keys())
        unfinished = self.planned - gone
        unfinished["(from a checkpoint)"] = max(0, self.total - (gone + unfinished).total())
        running = [(self.by_id[i].rule, (now - self.by_id[i].start) / len(self.group(i))) for i in self.running]
        elapsed = now - min((job.start for job in self.by_id.values()), default=now)
        return lines.seconds_left(unfinished=unfinished, finished=self._seconds, running=running, elapsed=elapsed)


def in_order(jobs: list[Any]) -> tuple[object, ...]:
    """Ids of a group's jobs, each after those whose output it reads."""
    made = {str(path): job.jobid for job in jobs for path in job.output}
    graph = {job.jobid: {made[str(path)] for path in job.input if str(path) in made} for job in jobs}
    return tuple(TopologicalSorter(dict(sorted(graph.items()))).static_order())
