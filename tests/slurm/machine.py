"""The cluster and its machine: what there is, how to ask it, how to break it, and how to wait."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
