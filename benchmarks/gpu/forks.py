"""A fork of a process that has only loaded the libraries can use the GPU: what a warm process is (baldro/warm)."""

import os
import subprocess
import sys
from importlib.util import find_spec

import torch

from baldro.warm import server
from benchmarks.gpu.given import Check

PROGRAM = """
import os, sys
from importlib import import_module
for module in sys.argv[2:]:
    import_module(module)
fork = os.fork()
if fork:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1]))
import torch
if torch.cuda._is_in_bad_fork():
    os._exit(3)
os._exit(int(torch.ones(1000, device=sys.argv[1]).double().sum().item() != 1000))
"""
SAID = {0: "a fork computes there", 3: "torch says that a fork cannot, and verbs start in the ordinary way"}


def warm_fork(device: torch.device, _quick: bool) -> Check:
    """Whether a fork computes there; what is not installed here is not loaded."""
    loaded = [name for name in server.LOADED if name.startswith("baldro") or find_spec(name.partition(".")[0])]
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(device), *loaded],
        env=os.environ | server.ONLY_LOOKED_AT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    last = ran.stderr.strip().rpartition("\n")[2]
    return Check("a fork of a warm process", ran.returncode == 0, SAID.get(ran.returncode, last), SAID[0])
