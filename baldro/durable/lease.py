"""Why a process ends before its work is done: a signal asks it to stop, or a newer process has taken its folder over.

Nothing here changes a number, and nothing heavy is imported: a verb notes signals before it loads anything.
"""

import json
import os
import secrets
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from baldro.durable.files import sweep, whole
from baldro.errors import BaldroError

SIGNALS = (signal.SIGUSR1, signal.SIGTERM)
"""SIGUSR1 comes some minutes before a job's time limit; SIGTERM at a preemption, a cancellation and the limit itself."""


class Interrupted(BaldroError):
    """The process was asked to stop; its work so far is kept."""


class Superseded(BaldroError):
    """A newer process does the same work, so this one must not write any more."""


class Stop:
    """Notes SIGUSR1 and SIGTERM instead of dying of them, from `with Stop() as stop:` to the end of the block.

    Whoever works asks `stop` between two pieces of work. A signal that the parent process had set to be ignored is noted as well.
    """

    def __init__(self) -> None:
        self.asked = ""
        """The first signal's name; empty while there was none."""
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Stop":
        for number in SIGNALS:
            self._before[number] = signal.signal(number, self._note)
            signal.siginterrupt(number, False)  # what a library reads or writes just now goes on
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.asked = self.asked or signal.Signals(number).name

    def check(self, when: str) -> None:
        """End here if asked to.

        Raises:
            Interrupted: *interrupted by SIGTERM before training began*.
        """
        if self.asked:
            raise Interrupted("stopped-by-signal", f"interrupted by {self.asked} {when}")


class Lease:
    """Who may write into a folder: the process that took it last.

    A cluster starts a job anew when it loses a node, and the processes of that node may live on, or wake up hours later. Each
    process takes the folder's lease when it begins, by writing its own token over whatever is there, and looks at it again before
    it writes: an older one finds another token, or none, and stops. A `Lease()` that was not taken guards nothing (a process of
    a second device has one).

    What this cannot exclude: looking and renaming are two operations. A process that is stopped exactly between them, or that
    looks through a network file system which shows a change some seconds late, may still put one file in place, later than the
    newer process wrote its own. Such a file is whole, since each process writes under a name of its own. In the same way one that
    is stopped between looking and giving back may take away a newer process's lease; the newer one then stops, and is tried again.
    """

    def __init__(self) -> None:
        self.place: Path | None = None
        self.file: Path | None = None
        self.token = ""
        self.taken = 0
        """Time at which it was taken, in ns, by the clock of the file system."""
        self.looked = time.monotonic()

    @classmethod
    def take(cls, folder: Path, *, alone: str = "") -> "Lease":
        """Take the lease of a folder, or of one file in it, if other processes may write its other files at the same time.

        Args:
            alone: that file's name.
        """
        lease = cls()
        lease.place, lease.file = folder / alone, folder / (f".{alone}.lease" if alone else ".lease")
        mine = {
            "host": socket.gethostname().partition(".")[0],
            "pid": os.getpid(),
            "job": os.environ.get("SLURM_JOB_ID"),
            "restart": os.environ.get("SLURM_RESTART_COUNT"),
            "random": secrets.token_hex(8),
        }
        lease.token = json.dumps(mine) + "\n"
        with whole(lease.file) as beside:
            beside.write_text(lease.token, encoding="utf-8")
            lease.taken = beside.stat().st_mtime_ns
        sweep(lease.file, before=lease.taken)
        return lease

    def __enter__(self) -> "Lease":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def check(self) -> None:
        """Return if the lease is still this process's.

        Raises:
            Superseded: *results/runs/X now belongs to job 812 on n2, pid 33; this process stops without writing*.
        """
        self.looked = time.monotonic()
        if self.file is None or (found := self._found()) == self.token:
            return
        now = f"now belongs to {_owner(found)}" if found else f"was taken over and finished ({self.file} is gone)"
        raise Superseded("taken-over", f"{self.place} {now}; this process stops without writing")

    def look(self) -> None:
        """As `check`, but at most once a second: for a loop of short steps."""
        if time.monotonic() - self.looked >= 1:
            self.check()

    @contextmanager
    def whole(self, path: Path) -> Iterator[Path]:
        """As `files.whole`, with the lease checked before and after writing; parts that killed processes left are removed."""
        self.check()
        sweep(path, before=self.taken)
        with whole(path, check=self.check) as beside:
            yield beside

    def release(self) -> None:
        """Give the lease back, if it is still this process's."""
        if self.file is not None and self._found() == self.token:
            self.file.unlink(missing_ok=True)

    def _found(self) -> str:
        try:
            return self.file.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""


def _owner(token: str) -> str:
    """The owner in words, *job 812 on n2, pid 33*, as far as the token says."""
    try:
        found = json.loads(token)
        job = f"job {found['job']}" if found["job"] else "another process"
        return f"{job} on {found['host']}, pid {found['pid']}"
    except (ValueError, KeyError, TypeError):
        return "another process"
