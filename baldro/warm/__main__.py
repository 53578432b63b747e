"""python -m baldro.warm SOCKET [NUMBER]: the warm process, which ends with its standard input."""

import os
import shutil
import socket
import sys
from pathlib import Path

from baldro.warm.server import Server


def listener(place: str, number: str | None = None) -> socket.socket:
    """The socket that a workflow made; without its number a new one, at that place."""
    if number:
        return socket.socket(fileno=int(number))
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(place)
    listener.listen(1000)
    return listener


if __name__ == "__main__":
    try:
        server = Server(listener(*sys.argv[1:]), log=len(sys.argv) == 2)
        if len(sys.argv) == 3:  # a workflow has said what its jobs' environment is; a pack's first job says it
            server.load(os.environ)
        server.serve()
    finally:
        shutil.rmtree(Path(sys.argv[1]).parent, ignore_errors=True)
