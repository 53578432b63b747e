"""A warm process: it has loaded torch and transformers, and forks for every verb that a workflow runs on this machine.

Most of a small job is Python loading libraries. A workflow that runs here (workflow/rules/start.smk), or the script of a SLURM job with
several runs, starts one process that listens on a socket, whose path is in the environment as BALDRO_WARM. A `baldro` that finds it there
sends its arguments, its folder, its environment and its standard streams, passes on every signal, and ends as the fork ends. Each verb
still has a process of its own: it can be killed, runs out of memory and fails alone. Where something is not as it must be (another
environment or Python, no such process), the verb starts in the ordinary way.

Only on Linux. A fork cannot use a GPU that its parent has used; loading the libraries does not use one, and a fork that torch says cannot
starts the verb in the ordinary way.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

VARIABLE = "BALDRO_WARM"
VERBS = ("train", "score", "reference", "metrics")
"""The verbs whose start is long against their work; none asks the hub."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""What a job may be sent."""
ACCEPTED = b"+"


def start(environment: Mapping[str, str]) -> subprocess.Popen[bytes] | None:
    """Start the warm process of this one; every `baldro` below uses it. It ends after this one, with its last verb.

    Args:
        environment: what its verbs find in the environment beside what is there now; libraries are loaded in it at once.

    Returns: the process, whose standard input must stay open; None where there can be none.
    """
    if sys.platform != "linux":
        return None
    place = Path(tempfile.mkdtemp(prefix="baldro-")) / "socket"
    with socket.socket(socket.AF_UNIX) as listener:  # here, so that the first verb finds it
        try:
            listener.bind(str(place))
        except OSError:  # a folder for temporary files whose path is too long for a socket's
            place.parent.rmdir()
            return None
        listener.listen(1000)
        command = [sys.executable, "-P", "-m", __name__, str(place), str(listener.fileno())]
        os.environ[VARIABLE] = str(place)
        lasting = {"stdin": subprocess.PIPE, "pass_fds": [listener.fileno()], "start_new_session": True}
        return subprocess.Popen(command, env={**os.environ, **environment}, **lasting)


def run(arguments: list[str]) -> int | None:
    """Run a verb in a fork of the warm process.

    Returns: its exit code; None if it has to run here.
    """
    place = os.environ.get(VARIABLE)
    if not place or arguments[:1] not in [[verb] for verb in VERBS]:
        return None
    asked = {"arguments": arguments, "folder": os.getcwd(), "environment": dict(os.environ), "python": sys.prefix}
    ignored = [number for number in SIGNALS if signal.getsignal(number) is signal.SIG_IGN]
    request = json.dumps({**asked, "ignored": ignored}).encode()
    came: list[int] = []
    with socket.socket(socket.AF_UNIX) as line:

        def pass_on(number: int, frame: Any) -> None:
            came.append(number)
            with suppress(OSError):
                line.send(bytes([number]))

        before = {number: signal.signal(number, pass_on) for number in SIGNALS}
        try:
            line.connect(place)
            socket.send_fds(line, [len(request).to_bytes(8, "big")], [0, 1, 2])
            line.sendall(request)
            accepted = line.recv(1) == ACCEPTED
        except OSError:  # it is not there any more
            accepted = False
        if accepted:
            return _ended(arguments[0], line.recv(4, socket.MSG_WAITALL))
    for number, handler in before.items():
        signal.signal(number, handler)
    for number in came:
        os.kill(os.getpid(), number)
    return None


def _ended(verb: str, said: bytes) -> int:
    """End as the fork did: the exit code, or by the same signal."""
    if len(said) < 4:
        print(f"baldro {verb}: the warm process that it ran in was killed", file=sys.stderr)
        return 1
    code = int.from_bytes(said, "big", signed=True)
    if code < 0:
        if -code in SIGNALS:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code
