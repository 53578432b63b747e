"""The nodes of a SLURM job of several: a verb runs on the first, and has srun start it on each of the others.

SLURM tells the others which they are (SLURM_PROCID of the srun) and where the first one is (SLURM_LAUNCH_NODE_IPADDR). What they say, srun
says to the first, and their signals and exit codes go through it too. Each holds a connection to the first. When the first's process
ends, in whatever way, so does the connection, and so do they; when one of them ends and has not said before that its work is done, it was
lost, also where srun waits for its node.
"""

import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from baldro.errors import BaldroError

LINE = "BALDRO_FIRST_NODE_PORT"
"""Variable of the processes on the other nodes: where the first one listens."""
COMING = 300
"""Seconds in which srun must have started the other nodes' processes: those nodes are the job's own, and nothing large is loaded before."""
DONE = b"+"
"""What a process on another node says at its good end."""


def check(nodes: int, environment: Mapping[str, str]) -> None:
    """Check that there are so many nodes.

    Raises:
        BaldroError: this is no SLURM job, or one of fewer.
    """
    held = environment.get("SLURM_JOB_NUM_NODES", "")
    if not held.isdigit() or int(held) < nodes:
        there = f"a SLURM job of {held}" if held else "no SLURM job"
        raise BaldroError(
            "too-few-nodes",
            f"{nodes} nodes are asked for, and this is {there}; allowed: nodes: 1 in the model's needs, or a SLURM job of {nodes}",
        )


class Followers:
    """The first node's ends of the connections, of `count` other nodes."""

    def __init__(self, count: int):
        self.count, self.until = count, time.monotonic() + COMING
        self.server = socket.create_server(("", 0), backlog=count)
        self.server.setblocking(False)
        self.port = self.server.getsockname()[1]
        self.lines: list[socket.socket] = []
        self.done: list[socket.socket] = []
        """Whose node's work is done."""

    def __enter__(self) -> "Followers":
        return self

    def __exit__(self, *_: object) -> None:
        for each in (self.server, *self.lines, *self.done):
            each.close()

    def lost(self) -> str | None:
        """What is wrong with the other nodes: one was not there in time, or has ended before its work was done."""
        with suppress(BlockingIOError):
            while len(self.lines) + len(self.done) < self.count:
                self.lines.append(_kept_alive(self.server.accept()[0]))
                self.lines[-1].setblocking(False)
        for line in list(self.lines):
            with suppress(BlockingIOError):
                if not _heard(line):
                    return "its process has ended"
                self.lines.remove(line)
                self.done.append(line)
        missing = self.count - len(self.lines) - len(self.done)
        if missing and time.monotonic() > self.until:
            return f"{missing} of {self.count} did not start within {COMING} s"
        return None


def _heard(line: socket.socket) -> bytes:
    """What was said; nothing of a connection that has ended."""
    try:
        return line.recv(1)
    except BlockingIOError:
        raise
    except OSError:
        return b""


def _kept_alive(line: socket.socket) -> socket.socket:
    """A connection that ends within two minutes where the network or the other machine has gone."""
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 6)):
        if hasattr(socket, name):
            line.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return line


def command(nodes: int) -> list[str]:
    """What starts a process on each node but the first: on all its cores and in all its memory, whatever another step has left behind."""
    where = [f"--nodes={nodes - 1}", f"--ntasks={nodes - 1}", "--ntasks-per-node=1", "--relative=1"]
    return ["srun", *where, "--cpu-bind=none", "--mem=0", "--overlap", "--kill-on-bad-exit=1"]


def is_other(environment: Mapping[str, str]) -> bool:
    """Whether this process is the first one of another node than the first."""
    return LINE in environment and "RANK" not in environment


def place(devices: int, environment: Mapping[str, str]) -> dict[str, str]:
    """The variables of such a process, by which torch finds its place among all; `devices` on each node."""
    node = 1 + int(environment["SLURM_PROCID"])
    return dict(RANK=str(node * devices), LOCAL_RANK="0", MASTER_ADDR=environment["SLURM_LAUNCH_NODE_IPADDR"])


@contextmanager
def following(environment: Mapping[str, str]) -> Iterator[None]:
    """A block of another node's process, which ends when the first node's does."""
    first = environment["SLURM_LAUNCH_NODE_IPADDR"], int(environment[LINE])
    line, done = _kept_alive(socket.create_connection(first, timeout=60)), threading.Event()
    line.settimeout(None)
    threading.Thread(target=_end_with, args=(line, done), daemon=True).start()
    yield
    done.set()
    line.sendall(DONE)


def _end_with(line: socket.socket, done: threading.Event) -> None:
    with suppress(OSError):
        line.recv(1)
    if not done.is_set():
        os._exit(1)
