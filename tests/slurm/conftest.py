"""A SLURM of the tests' own on this host (the script `cluster`), and checkouts in which Snakemake runs on it."""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

os.environ["PATH"] += f"{os.pathsep}/usr/sbin"  # where the daemons are
HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
INSTALL = "apt-get install --no-install-recommends slurm-wlm slurmdbd mariadb-server"
FAST = ["--seconds-between-status-checks", "2", "--latency-wait", "5"]
"""In place of the profile's patience with networked file systems."""
RESULTS = ("run.json", "train.csv", "dynamics.parquet", "samples.parquet", "metrics.json", "per_sample.parquet")

SPEC = importlib.util.spec_from_file_location("checkouts", ROOT / "tests/workflow/conftest.py")
checkouts = importlib.util.module_from_spec(SPEC)
sys.modules["checkouts"] = checkouts
SPEC.loader.exec_module(checkouts)
fresh = checkouts.fresh  # the fixture: a copy of the checkout without results


def why_not() -> str | None:
    """What a SLURM of one's own lacks here."""
    if not all(map(shutil.which, ("slurmctld", "slurmd", "slurmdbd", "mariadbd"))):
        return f"no SLURM with accounts here: {INSTALL}"
    if os.geteuid():
        return "slurmd needs root"
    if subprocess.run([HERE / "cluster", "free"], check=False).returncode:
        return "this host belongs to a cluster: /etc/slurm/slurm.conf is there"
    return None


PATIENCE = 3
"""Every wait below is so many times what an idle machine needs at most: a slow or loaded one fails no test by that alone."""


def until(seconds: float, what: str | Callable[[], str], happens: Callable[[], Any], every: float = 0.2) -> Any:
    """Wait for something true, and return it; `what` says what did not happen, when it is clear that it did not."""
    deadline = time.monotonic() + PATIENCE * seconds
    while not (found := happens()):
        assert time.monotonic() < deadline, f"after {PATIENCE * seconds} s: {what if isinstance(what, str) else what()}"
        time.sleep(every)
    return found


def ask(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


@dataclass(frozen=True)
class Cluster:
    """Eight nodes; and how to break them."""

    folder: Path

    def daemon(self, name: str) -> int:
        """Process id of slurmctld, or of slurmd-n1, ..."""
        return int((self.folder / f"{name}.pid").read_text())

    def kill(self, name: str) -> None:
        """kill -9 a daemon; its node's jobs live on."""
        os.kill(self.daemon(name), signal.SIGKILL)

    def start(self, name: str) -> None:
        """Start a daemon again."""
        command = ["slurmctld"] if name == "slurmctld" else ["slurmd", "-N", name.removeprefix("slurmd-")]
        environment = {**os.environ, "SLURM_CONF": str(self.folder / "slurm.conf")}
        subprocess.run(command, check=True, env=environment, timeout=60)

    def jobs(self) -> list[dict[str, str]]:
        """Every job that SLURM remembers."""
        said = ask("scontrol", "--oneliner", "show", "job")
        return [dict(word.split("=", 1) for word in line.split() if "=" in word) for line in said.splitlines()]

    def queue(self, folder: Path) -> list[str]:
        """Ids of the live jobs of a checkout."""
        rows = [line.split("|") for line in ask("squeue", "--noheader", "--format=%i|%Z").splitlines()]
        return [job for job, where in rows if Path(where) == folder]

    def repair(self) -> None:
        """All nodes up and idle again, nothing in the queue."""
        for name in ("slurmctld", *(path.stem for path in self.folder.glob("slurmd-n*.pid"))):
            if not is_running(self.daemon(name)):
                self.start(name)
        until(
            60,
            "slurmctld does not answer",
            lambda: not subprocess.run(["scontrol", "ping"], capture_output=True).returncode,
        )
        subprocess.run(["scancel", "--user", "root"], check=True, timeout=60)
        until(60, "jobs are left", lambda: not ask("squeue", "--noheader").strip())
        until(60, "nodes are not idle", lambda: set(ask("sinfo", "--noheader", "--format=%t").split()) == {"idle"})


def is_running(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def processes(folder: Path) -> dict[int, str]:
    """Processes that work in a folder, by its path in their command line or as their working directory: pid -> command."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            here = os.readlink(entry / "cwd") == str(folder)
        except OSError:
            continue
        if here or str(folder) in command:
            found[int(entry.name)] = command
    return {pid: command for pid, command in found.items() if is_running(pid)}


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


@pytest.fixture(scope="session")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    """A running SLURM; stopped afterwards, jobs and all. Must not be missing where BALDRO_REQUIRE_SLURM=1 (as in CI)."""
    if reason := why_not():
        if os.environ.get("BALDRO_REQUIRE_SLURM") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("slurm")
    subprocess.run([HERE / "cluster", "up", folder], check=True, timeout=120)
    yield Cluster(folder)
    subprocess.run([HERE / "cluster", "down", folder], check=True, timeout=120)


def copy_of(checkout: Any, folder: Path) -> Any:
    """Another checkout with the same files; times of files are kept."""
    shutil.copytree(checkout.folder, folder, symlinks=True)
    return checkouts.Checkout(folder)


def say_often(checkout: Any) -> None:
    """Have trainings say twice a second how far they are, by which they are caught."""
    checkout.edit("workflow/rules/unlearn.smk", "baldro train ", "baldro train --every 0.5 ")


def by_seed(checkout: Any) -> dict[int, Path]:
    """Folders of the unlearning runs."""
    return {int(path.name.rpartition("--seed=")[2]): path for path in checkout.folder.glob("results/runs/*--npo*")}


def tables(folder: Path) -> dict[str, bytes]:
    """Every table of every experiment of a checkout, to the byte."""
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.glob("results/reports/*/tables/*")}
    assert found, f"no tables in {folder}"
    return found


def nano() -> dict[str, Any]:
    """The small experiment's model, trained quickly."""
    stage = {"lr": "2e-3", "epochs": 1}
    return {"nano": yaml.safe_load(checkouts.SMALL)["models"]["nano"] | {"pretrain": stage, "finetune": stage}}
