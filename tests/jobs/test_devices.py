"""Several devices through the command line: real processes end with the weights of one, and as one does."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
import torch
from safetensors.torch import load_file

from .conftest import PRETRAIN, words
from .test_interruption import Started

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.processes]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "--"]


def assert_alike(folder, other):
    """Weights to rounding, and not to the bit: then there was one device only."""
    found, expected = (load_file(f / "model" / "model.safetensors") for f in (folder, other))
    assert found.keys() == expected.keys()
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, rtol=1e-4, atol=1e-5)
    assert any(not torch.equal(found[name], weight) for name, weight in expected.items())


@pytest.mark.parametrize(
    ("launcher", "options"),
    [(TORCHRUN, {}), ([sys.executable, "-m"], dict(devices=2, shard=True))],
    ids=["torchrun", "shard"],
)
def test_two_processes_end_with_the_weights_of_one(made, tmp_path, launcher, options):
    command = [*launcher, "baldro.cli", *words("train", run=PRETRAIN, output=tmp_path, **made.given, **options)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert_alike(tmp_path, made.root / "base")


def test_a_signal_to_the_first_process_stops_all_and_one_device_goes_on(made, tmp_path):
    with Started(output=tmp_path, devices=2, shard=True, **made.unlearn) as started:
        started.steps(5)
        started.hit(signal.SIGTERM)
        code, said = started.end()
    assert (code, "interrupted by SIGTERM" in said) == (2, True)
    with Started(output=tmp_path, **made.unlearn) as started:
        assert started.end()[0] == 0
    assert_alike(tmp_path, made.root / "long")


def test_a_device_that_is_lost_ends_the_others(made, tmp_path):
    with Started(output=tmp_path, devices=2, **made.unlearn) as started:
        started.steps(2)
        (other,) = psutil.Process(started.process.pid).children()
        other.kill()
        began = time.monotonic()
        assert started.end()[0] != 0
        assert time.monotonic() - began < 60
