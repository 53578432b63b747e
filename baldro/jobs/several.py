"""The processes of a verb on several devices: its own is the first, and starts the others, one a device.

They find each other as torch's launchers arrange it (RANK, WORLD_SIZE, MASTER_ADDR, ...), so the verb can be started by those too. Unlike
them the first process lives as any verb does: it notes signals, says in one line what is wrong, and ends with the verb's exit code. If
another process ends before its time, so does the first; if the first is killed, so are the others.
"""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from baldro.durable.lease import Lease
from baldro.jobs import nodes as among

GRACE = 20
"""Seconds in which processes that have met the same end may say so themselves."""
PR_SET_PDEATHSIG = 1
"""linux/prctl.h"""


@contextmanager
def processes(devices: int, nodes: int = 1) -> Iterator[None]:
    """The block runs in a process for each device, which know of each other; nothing else happens where they have been started, or for one.

    Args:
        devices: on each node; 0 is 1.
        nodes: of the SLURM job that this process runs in, on the first of them (`baldro.jobs.nodes`).

    Raises:
        BaldroError: there are not so many nodes.
    """
    place, others, over = dict[str, str](), list[Other](), threading.Event()
    with ExitStack() as stack:
        if max(1, devices) * nodes > 1 and "RANK" not in os.environ:
            place, others = _start(max(1, devices), nodes, stack)
        if others:
            threading.Thread(target=_watch, args=(others, over), daemon=True).start()
        try:
            yield
            _leave_group()
        finally:
            over.set()
            for other in others:
                other.end()
            for name in place:
                del os.environ[name]


def _start(devices: int, nodes: int, stack: ExitStack) -> tuple[dict[str, str], list["Other"]]:
    """Start the other processes of this node, and on the first node those of the others.

    Returns: variables that this process has now, and what it started.
    """
    if among.is_other(os.environ):
        among.follow_first(os.environ)
        place = among.place(devices, os.environ)
    else:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        place = dict(WORLD_SIZE=str(devices * nodes), LOCAL_WORLD_SIZE=str(devices), RANK="0", LOCAL_RANK="0")
        place |= dict(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    others = []
    if nodes > 1 and place["RANK"] == "0":
        among.check(nodes, os.environ)
        line = stack.enter_context(among.listen())
        own = {name: value for name, value in place.items() if name not in ("RANK", "LOCAL_RANK", "MASTER_ADDR")}
        own[among.LINE] = str(line.getsockname()[1])
        others.append(Other("another node", own, before=among.command(nodes)))
    os.environ.update(place)
    for device in range(1, devices):
        rank = str(int(place["RANK"]) + device)
        others.append(Other(f"device {rank}", dict(RANK=rank, LOCAL_RANK=str(device))))
    return place, others


def number() -> int:
    """Processes that do this job together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Of several processes the first one writes."""
    return os.environ.get("RANK", "0") == "0"


def wait() -> None:
    """Until all processes have come here; only once they have found each other."""
    distributed = sys.modules.get("torch.distributed")
    if distributed and distributed.is_available() and distributed.is_initialized():
        distributed.barrier()


def leased(folder: Path, *, alone: str = "") -> Lease:
    """The first process takes a lease (`Lease.take`); the others write nothing, and have one that guards nothing."""
    return Lease.take(folder, alone=alone) if is_first() else Lease()


class Other:
    """The process of another device, or srun and those of other nodes: this one's command, but for its log.

    Args:
        name: for errors.
        place: variables that it has beside this one's.
        before: what its command begins with.
    """

    def __init__(self, name: str, place: Mapping[str, str], *, before: Sequence[str] = ()):
        self.name = name
        self.errors: IO[str] = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self.process = subprocess.Popen(
            [*before, sys.executable, "-m", "baldro.cli", *_without_log(sys.argv[1:])],
            env={**os.environ, **place},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self.errors,
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )

    def error(self) -> str:
        """The last line that it said; srun's own words follow those of what it ran."""
        self.errors.seek(0)
        lines = self.errors.read().strip().splitlines()
        own = [line for line in lines if not line.startswith(("srun: ", "slurmstepd: "))]
        return (own or lines or [f"ended with {self.process.returncode} without a word"])[-1]

    def end(self) -> None:
        """Wait a little, since it may be writing; then kill it."""
        try:
            self.process.wait(GRACE if self.process.poll() is None else 0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.errors.close()


def _watch(others: Sequence[Other], over: threading.Event) -> None:
    """End this process when another has failed: this one would wait for it for ever, inside a library."""
    while not over.wait(0.2):
        failed = next((other for other in others if other.process.poll() not in (None, 0)), None)
        if failed is None or over.wait(GRACE):  # it fails by the same error, and says so itself
            continue
        print(f"baldro: {failed.name} of this job has failed: {failed.error()}", file=sys.stderr, flush=True)
        for other in others:
            other.process.kill()
        code = failed.process.returncode
        os._exit(code if code > 0 else 1)


def _leave_group() -> None:
    """Say goodbye to the others, which some libraries ask for with a warning."""
    distributed = sys.modules.get("torch.distributed")
    if distributed and distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def _without_log(arguments: Sequence[str]) -> list[str]:
    """The arguments without --log FILE, which is the first process's."""
    kept, skip = [], False
    for argument in arguments:
        if skip or argument == "--log" or argument.startswith("--log="):
            skip = argument == "--log"
        else:
            kept.append(argument)
    return kept


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
