"""Several processes that stand for the devices of a training, joined by gloo."""

import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def on_devices(count: int, script: str, *arguments: object, code: int = 0) -> list[str]:
    """Run a Python script in `count` processes, each with its place among them in its environment; returns what each said as an error."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
    common = dict(WORLD_SIZE=str(count), MASTER_ADDR="127.0.0.1", MASTER_PORT=port, OMP_NUM_THREADS="1")
    common["PYTHONPATH"] = os.pathsep.join(map(str, (ROOT, ROOT / "tests")))
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, *map(str, arguments)],
            env={**os.environ, **common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]
    try:
        said = [process.communicate(timeout=300)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert all(process.returncode == code for process in processes), "\n".join(said)
    return said
