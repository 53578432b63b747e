"""The warm process itself: it loads the libraries, waits, and forks for each verb that it is asked for."""

import ctypes
import io
import json
import os
import selectors
import signal
import socket
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from typing import Any, NoReturn

from baldro.jobs import imports
from baldro.warm import ACCEPTED, SIGNALS, VARIABLE

LOADED = (
    "baldro.jobs.training",
    "baldro.jobs.score",
    "baldro.jobs.reference",
    "baldro.jobs.metrics",
    "rouge_score.rouge_scorer",
    "transformers.models.auto.modeling_auto",
    "transformers.models.llama.modeling_llama",
)
"""What is loaded before the first fork."""
THREADS = (
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"),
    *("GOTO_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS"),
)
"""Variables that Snakemake sets to a job's threads. Libraries read them when they are loaded, which is always done with one: no thread
but the first is ever there to be lost in a fork. A verb with `--threads` says the number itself."""
TEMPORARY = ("TMPDIR", "TMP", "TEMP", "TEMPDIR")
"""And those that it sets to a job's folder for temporary files."""
ANY = {"PWD", "OLDPWD", "SHLVL", "_", *THREADS, *TEMPORARY}
"""Variables in which jobs may differ: no library reads them when it is loaded, or what it reads is settled anew."""
ONLY_LOOKED_AT = {"PYTORCH_NVML_BASED_CUDA_CHECK": "1"}
"""While libraries are loaded: whether there is a GPU is asked of its driver's files, and not by using it."""
PR_SET_PDEATHSIG = 1
"""linux/prctl.h"""


class Server:
    """The warm process: one thread, which forks, passes on signals and says how forks ended."""

    def __init__(self, listener: socket.socket, *, log: bool = False):
        self.log = log
        """Whether every fork is said on the standard error stream, which is a SLURM job's log."""
        self.environment: dict[str, str] | None = None
        """In which the libraries were loaded, and so of all jobs; None until then."""
        self.jobs: dict[int, socket.socket] = {}
        """Process id of each fork -> the line to its `baldro`."""
        self.over = False
        self.selector = selectors.DefaultSelector()
        self.listener = listener
        self.wake, wakes = os.pipe()
        for end in (self.wake, wakes):
            os.set_blocking(end, False)
        for number in SIGNALS:  # sent to the whole group; what a fork is to do with them, it says itself
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
        self._on(self.listener, self.accept)
        self._on(self.wake, self.reap)
        self._on(0, self.end)

    def _on(self, file: Any, what: Callable[[], None]) -> None:
        self.selector.register(file, selectors.EVENT_READ, what)

    def serve(self) -> None:
        """Until the process that started this one has ended, and the last fork."""
        while not self.over or self.jobs:
            for key, _ in self.selector.select():
                key.data()

    def end(self) -> None:
        """Nothing is ever written to the standard input: it ends with whoever holds its other end."""
        if not os.read(0, 1024):
            self.over = True
            self.selector.unregister(0)

    def accept(self) -> None:
        """A verb; a refused one sees the line's end."""
        line, _ = self.listener.accept()
        line.settimeout(60)
        job, streams = None, []
        try:
            head, streams, _, _ = socket.recv_fds(line, 8, 3)
            request = json.loads(line.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL))
            if request["python"] == sys.prefix and self._fits(request["environment"]):
                line.sendall(ACCEPTED)
                signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # until the fork can take them
                job = os.fork()
        except (OSError, ValueError):  # a `baldro` that was killed before it had said what it wants, or was heard
            pass
        if job == 0:
            self._become(request, line, streams)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        for stream in streams:
            os.close(stream)
        if job is None:
            return line.close()
        if self.log:
            verb = request["arguments"][0]
            print(f"{verb} runs in a fork of process {os.getpid()}", file=sys.stderr, flush=True)
        self.jobs[job] = line
        self._on(line, lambda: self.listen(job))

    def _fits(self, environment: dict[str, str]) -> bool:
        """Whether a job's environment is the one in which the libraries were loaded; the first job's is."""
        environment = {key: value for key, value in environment.items() if key not in ANY}
        if self.environment is None:
            self.load(environment)
        return environment == self.environment

    def load(self, environment: Mapping[str, str]) -> None:
        """Load the libraries in an environment, which from then on is that of all jobs."""
        self.environment = {key: value for key, value in environment.items() if key not in ANY}
        os.environ.clear()
        os.environ.update(self.environment | dict.fromkeys(THREADS, "1") | ONLY_LOOKED_AT)
        try:
            with imports():
                for module in LOADED:
                    import_module(module)
        except Exception:
            self.environment = {}  # no job's: each says itself what is wrong
        # The code is read now, and every fork finds it read. Not above: who asks for a fork needs none of it.
        kinds = import_module("baldro.benchmarks")
        own = tuple(map(kinds.module_of, kinds.KINDS))
        import_module("baldro.runs").fingerprint("train", "score", "metrics", own=own)

    def listen(self, job: int) -> None:
        """A signal for a job; or its `baldro` was killed, and so it is killed."""
        if job not in self.jobs:  # ended in the meantime
            return
        try:
            said = self.jobs[job].recv(64)
        except OSError:
            said = b""
        for number in said or [signal.SIGKILL]:
            os.kill(job, number)
        if not said:
            self.selector.unregister(self.jobs[job])

    def reap(self) -> None:
        """Say how forks ended."""
        os.read(self.wake, 1024)
        while self.jobs:
            job, status = os.waitpid(-1, os.WNOHANG)
            if not job:
                return
            with self.jobs.pop(job) as line:
                if line.fileno() in self.selector.get_map():
                    self.selector.unregister(line)
                with suppress(OSError):  # nobody waits for it
                    line.sendall(os.waitstatus_to_exitcode(status).to_bytes(4, "big", signed=True))

    def _become(self, request: dict[str, Any], line: socket.socket, streams: list[int]) -> NoReturn:
        """In the fork: the verb."""
        code = 1
        try:
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for number in set(SIGNALS) - set(request["ignored"]):
                signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            for each in (line, self.listener, self.selector, *self.jobs.values()):
                each.close()
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
                os.close(stream)
            sys.stdout = _text(1, sys.stdout.encoding, "strict", line_buffering=os.isatty(1))
            sys.stderr = _text(2, sys.stderr.encoding, "backslashreplace", line_buffering=True)
            os.chdir(request["folder"])
            os.environ.clear()
            os.environ.update(request["environment"])
            tempfile.tempdir = None
            if import_module("torch").cuda._is_in_bad_fork():
                del os.environ[VARIABLE]
                os.execv(sys.executable, [sys.executable, "-P", "-m", "baldro.cli", *request["arguments"]])
            sys.argv = ["baldro", *request["arguments"]]
            code = import_module("baldro.cli.main").main(request["arguments"])
        except SystemExit as error:  # of the arguments
            code = error.code if isinstance(error.code, int) else 1
        except KeyboardInterrupt:
            code = 128 + signal.SIGINT
        except BaseException:
            traceback.print_exc()
        finally:
            try:
                sys.stdout.flush()
                sys.stderr.flush()
            finally:  # whatever happens, no second server
                os._exit(code)


def _text(stream: int, encoding: str, errors: str, *, line_buffering: bool) -> io.TextIOWrapper:
    """A standard stream, as Python makes it when it starts."""
    buffer = io.BufferedWriter(io.FileIO(stream, "w", closefd=False))
    return io.TextIOWrapper(buffer, encoding, errors, line_buffering=line_buffering)
