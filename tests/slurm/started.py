"""A Snakemake on the cluster: start it, catch its trainings in their midst, and watch what becomes of their files."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .machine import PATIENCE, Cluster, ask, is_running, processes, until

FAST = ["--seconds-between-status-checks", "2", "--latency-wait", "5"]
"""In place of the profile's patience with networked file systems."""
RESULTS = ("run.json", "train.csv", "dynamics.parquet", "samples.parquet", "metrics.json", "per_sample.parquet")


class Watch(threading.Thread):
    """Looks at the unlearning runs' results all the time: what became of each file, so that none is written twice unnoticed."""

    def __init__(self, folder: Path):
        super().__init__(daemon=True)
        self.folder, self.over = folder, threading.Event()
        self.began = time.monotonic()
        self.seen: defaultdict[str, list[tuple[float, int | None]]] = defaultdict(list)
        """File -> (seconds, its number on the disk, or None once it is gone), a pair a change."""

    def run(self) -> None:
        while not self.over.wait(0.02):
            found: dict[str, int | None] = dict.fromkeys(self.seen)
            for path in self.folder.glob("results/runs/*--npo*/*"):
                if path.name in RESULTS:
                    with suppress(FileNotFoundError):
                        found[f"{path.parent.name}/{path.name}"] = path.stat().st_ino
            for name, now in found.items():
                if not self.seen[name] or self.seen[name][-1][1] != now:
                    self.seen[name].append((time.monotonic() - self.began, now))

    def twice(self) -> str:
        """The files that were written more than once, a line each with its story.

        One that a job deletes before it starts, and puts back as an earlier job had left it, was written once.
        """
        stories = self.seen.items()
        return "\n".join(f"{name}: {story}" for name, story in stories if len({now for _, now in story} - {None}) > 1)


@dataclass
class Snakemake:
    """A Snakemake that runs in a checkout as a user of the cluster starts it."""

    checkout: Any
    cluster: Cluster
    config: str
    options: tuple[str, ...] = ()
    process: subprocess.Popen | None = None

    @property
    def output(self) -> Path:
        """What it says, and what it said before it was started again."""
        return self.checkout.folder / "said.txt"

    def start(self) -> None:
        """Start it, or start it again."""
        command = [sys.executable, "-m", "snakemake", "--configfile", self.config]
        command += ["--profile", "workflow/profiles/slurm", *FAST, *self.options]
        with self.output.open("a") as file:
            said = {"stdout": file, "stderr": subprocess.STDOUT}
            self.process = subprocess.Popen(command, cwd=self.checkout.folder, env=self.checkout.environment(), **said)

    def end(self, seconds: float = 300, code: int | None = 0) -> str:
        """Wait for its end, with this exit status unless it is None; returns what it said."""
        try:
            status = self.process.wait(PATIENCE * seconds)
        except subprocess.TimeoutExpired:
            pytest.fail(f"Snakemake does not end:\n{self.said()}\n{ask('squeue')}")
        assert code in (None, status), self.said()
        return self.said()

    def said(self) -> str:
        return self.output.read_text()

    @contextmanager
    def caught(self, *runs: str) -> Iterator[list[tuple[str, str]]]:
        """SLURM job and nodes of each run in the midst of training; their processes are stopped, as if nodes hung, until the block ends.

        So a training has not ended when something happens to it, however fast the machine is.
        """
        asleep: dict[str, set[int]] = {}
        found: dict[str, tuple[str, str]] = {}

        def all_are() -> bool:
            assert self.process is None or self.process.poll() is None, self.said()
            for run in runs:
                if run not in found and (job := self._training(run)):
                    found[run], asleep[run] = job, put_to_sleep(self.checkout.folder, run)
            return len(found) == len(runs)

        try:
            until(300, lambda: f"not all of {runs} train:\n{self.said()}", all_are, every=0.1)
            yield [found[run] for run in runs]
        finally:
            for pid in set().union(*asleep.values()):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def _training(self, run: str) -> tuple[str, str] | None:
        """By its lease, whose process lives, and a line of progress of the job's present start."""
        try:
            owner = json.loads((self.checkout.folder / f"results/runs/{run}/.lease").read_text())
            log = (self.checkout.folder / f"logs/slurm/{owner['job']}.log").read_text()
        except FileNotFoundError:
            return None
        if not is_running(owner["pid"]) or "  step " not in log.rpartition("\nSNAKEMAKE\n")[2]:
            return None
        nodes = ask("squeue", "--noheader", "--states=all", f"--jobs={owner['job']}", "--format=%N").strip()
        return owner["job"], nodes


def pass_the_limit(snakemake: Snakemake, run: str) -> None:
    """SLURM takes up to half a minute to notice; SIGTERM is there when the processes go on, SIGKILL some seconds away."""
    with snakemake.caught(run) as ((job, _),):
        ask("scontrol", "update", f"JobId={job}", "EndTime=now")
        log = snakemake.checkout.folder / f"logs/slurm/{job}.log"
        until(90, "the limit is not noticed", lambda: "DUE TO TIME LIMIT" in log.read_text())


def put_to_sleep(folder: Path, run: str) -> set[int]:
    """Stop every process of a run; returns their ids."""
    asleep = {pid for pid, command in processes(folder).items() if run in command}
    for pid in asleep:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    return asleep


def say_often(checkout: Any) -> None:
    """Have trainings say twice a second how far they are, by which they are caught."""
    checkout.edit("workflow/rules/unlearn.smk", "baldro train ", "baldro train --every 0.5 ")


def check_nothing_is_left(snakemake: Snakemake, watch: Watch, *, kept: set[str]) -> None:
    """No job, process, lease or submission; in checkpoints only what is `kept`; and no file was made twice."""
    folder = snakemake.checkout.folder
    until(60, lambda: f"processes are left: {processes(folder)}", lambda: not processes(folder))
    watch.over.set()
    watch.join()
    assert not snakemake.cluster.queue(folder)
    assert not list(folder.glob("results/runs/*/.lease"))
    assert not list(folder.glob(".snakemake/baldro-slurm/*"))
    assert {path.name for path in folder.glob("results/runs/*/checkpoint/*")} == kept
    assert not watch.twice(), snakemake.said()
