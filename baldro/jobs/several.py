"""The processes of a verb on several devices: its own is the first, and starts the others, one a device.

They find each other as torch's launchers arrange it (RANK, WORLD_SIZE, MASTER_ADDR, ...), so the verb can be started by those too. Unlike
them the first process lives as any verb does: it notes signals, says in one line what is wrong, and ends with the verb's exit code. If
another process ends before its time, so does the first; if the first is killed, so are the others.
"""

import ctypes
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from baldro.durable.lease import Lease
from baldro.errors import BaldroError
from baldro.jobs import nodes as among

GRACE = 10
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
        BaldroError: there are not so many nodes; another process has ended before its time.
    """
    group, place = Group(), dict[str, str]()
    with ExitStack() as stack:
        if max(1, devices) * nodes > 1 and "RANK" not in os.environ:
            place = _start(group, max(1, devices), nodes, stack)
        if group.others:
            threading.Thread(target=group.watch, daemon=True).start()
        try:
            yield
            _leave_group()
            group.end(GRACE)
        except Exception as error:
            if isinstance(error, BaldroError) or not _is_of_connection(error):
                raise
            raise group.why(GRACE / 2) or BaldroError("process-lost", f"{CUT}: {_first_line(error)}") from error
        finally:
            group.end(0)  # they write nothing, and wait for this one
            for name in place:
                del os.environ[name]


def _start(group: "Group", devices: int, nodes: int, stack: ExitStack) -> dict[str, str]:
    """Start the other processes of this node, and on the first node those of the others.

    Returns: variables that this process has now.
    """
    if among.is_other(os.environ):
        stack.enter_context(among.following(os.environ))
        place = among.place(devices, os.environ)
    else:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        place = dict(WORLD_SIZE=str(devices * nodes), LOCAL_WORLD_SIZE=str(devices), RANK="0", LOCAL_RANK="0")
        place |= dict(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    if nodes > 1 and place["RANK"] == "0":
        among.check(nodes, os.environ)
        group.nodes = stack.enter_context(among.Followers(nodes - 1))
        own = {name: value for name, value in place.items() if name not in ("RANK", "LOCAL_RANK", "MASTER_ADDR")}
        own[among.LINE] = str(group.nodes.port)
        group.others.append(Other("another node", own, before=among.command(nodes)))
    os.environ.update(place)
    for device in range(1, devices):
        rank = str(int(place["RANK"]) + device)
        group.others.append(Other(f"device {rank}", dict(RANK=rank, LOCAL_RANK=str(device))))
    return place


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


OWN = r"baldro [a-z]+: (.*)"
"""The one line of a verb that ends with an error."""
SRUN = ("srun: ", "slurmstepd: ")
CUT = "the connection to another process of this job has ended"
"""What a process says that has only seen the end of another."""


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

    def said(self) -> str:
        """Its own error, or the last line of a trace; else what srun says of it, or how it ended."""
        self.errors.seek(0)
        lines = self.errors.read().strip().splitlines()
        own = [line for line in lines if not line.startswith(SRUN)]
        code = self.process.poll() or 0
        if errors := [line for line in own if re.match(OWN, line)]:
            return errors[-1]
        if any(line.startswith("Traceback") for line in own):
            return own[-1]
        if errors := [line for line in lines if line.startswith(SRUN)]:
            return errors[-1]
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code} without a word"

    def why(self) -> BaldroError:
        """Why it has failed: its own error, which another attempt would meet again; or it was lost."""
        said = self.said()
        if (own := re.match(OWN, said)) and CUT not in said:
            return BaldroError("process-failed", f"{self.name} of this job: {own[1]}")
        return BaldroError("process-lost", f"{self.name} of this job was lost: {said}")


class Group:
    """What the first process of a node has started, and looks after."""

    def __init__(self) -> None:
        self.others: list[Other] = []
        self.nodes: among.Followers | None = None
        self.over, self.lock = threading.Event(), threading.Lock()

    def why(self, seconds: float = 0) -> BaldroError | None:
        """Why another process has ended before its time, if one has; it has some seconds to say it.

        Of several it is one that has not only seen the end of another.
        """
        until = time.monotonic() + seconds
        while self.others:
            with self.lock:
                failed = [other for other in self.others if other.process.poll() not in (None, 0)]
                if failed:
                    return min(failed, key=lambda other: CUT in other.said()).why()
                lost = self.nodes.lost() if self.nodes else None
            if time.monotonic() >= until:
                return BaldroError("process-lost", f"another node of this job was lost: {lost}") if lost else None
            time.sleep(0.1)
        return None

    def watch(self) -> None:
        """End this process when another has failed: this one would wait for it for ever, inside a library."""
        try:
            while not self.over.wait(0.2):
                if self.why() and not self.over.wait(GRACE):  # in which this one fails too, and says so itself
                    for stream in (sys.stderr, sys.stdout):  # that of its log
                        print(f"baldro {sys.argv[1]}: {self.why()}", file=stream, flush=True)
                    break
            else:
                return
        except Exception:
            if self.over.is_set():  # at its end it closes what was looked at
                return
            traceback.print_exc()
        for other in self.others:
            other.process.kill()
        os._exit(2)

    def end(self, seconds: float) -> None:
        """Give all of them some seconds together to end, then kill those that have not."""
        self.over.set()
        until = time.monotonic() + seconds
        for other in self.others:
            with suppress(subprocess.TimeoutExpired):
                other.process.wait(max(0.0, until - time.monotonic()))
        for other in self.others:
            other.process.kill()
            other.process.wait()
            other.errors.close()


def _is_of_connection(error: BaseException) -> bool:
    """Whether torch says that a process is not there any more: of NCCL and of its own stores by the error's type, of gloo by its words."""
    return isinstance(error, RuntimeError) and (type(error).__name__.startswith("Dist") or "gloo" in str(error))


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


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
