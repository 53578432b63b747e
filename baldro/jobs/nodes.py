"""The nodes of a SLURM job of several: a verb runs on the first, and has srun start it on each of the others.

SLURM tells the others which they are (SLURM_PROCID of the srun) and where the first one is (SLURM_LAUNCH_NODE_IPADDR). What they say, srun
says to the first, and their signals and exit codes go through it too. Each holds a connection to the first over which nothing is said: it
ends when the first's process does, in whatever way, and so do they.
"""

import os
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress

from baldro.errors import BaldroError

LINE = "BALDRO_FIRST_NODE_PORT"
"""Variable of the processes on the other nodes: where the first one listens."""


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


def listen() -> socket.socket:
    """What the other nodes' processes connect to; nobody needs to answer."""
    return socket.create_server(("", 0), backlog=1000)


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


def follow_first(environment: Mapping[str, str]) -> None:
    """End this process when the first node's ends."""
    line = socket.create_connection((environment["SLURM_LAUNCH_NODE_IPADDR"], int(environment[LINE])), timeout=60)
    line.settimeout(None)
    threading.Thread(target=_wait, args=(line,), daemon=True).start()


def _wait(line: socket.socket) -> None:
    with suppress(OSError):
        line.recv(1)
    os._exit(1)
