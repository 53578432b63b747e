"""Several devices through the command line: real processes end with the weights of one, and as one does."""

import os
import signal
import subprocess
import sys
import time

import pandas as pd
import psutil
import pytest
import torch
from safetensors.torch import load_file

from .conftest import PRETRAIN, baldro, id_of, words
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


def test_two_processes_score_as_one(made, tmp_path):
    """With a share of the model each; the reference with a whole one."""
    start = dict(made.given, start=made.root / "base/model")
    asked = dict(start, run=id_of("original"), max_new_tokens=8)
    assert baldro("score", output=tmp_path / "alone.parquet", **asked) == 0
    for verb, options in (
        ("score", dict(asked, output=tmp_path / "samples.parquet", devices=2, shard=True)),
        ("reference", dict(start, run=id_of("original"), output=tmp_path / "reference.parquet", devices=2)),
    ):
        command = [sys.executable, "-m", "baldro.cli", *words(verb, **options)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
    for ours, theirs in (
        (tmp_path / "samples.parquet", tmp_path / "alone.parquet"),
        (tmp_path / "reference.parquet", made.root / "reference.parquet"),
    ):
        pd.testing.assert_frame_equal(*map(pd.read_parquet, (ours, theirs)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("more", [{}, dict(shard=True)], ids=["whole", "split"])
def test_two_processes_train_and_score_as_one(made, tmp_path, more):
    asked = dict(made.short, max_new_tokens=3)
    for name, devices in (("alone", {}), ("both", dict(devices=2, **more))):
        output = dict(output=tmp_path / name, samples=tmp_path / name / "samples.parquet")
        done = subprocess.run(
            [sys.executable, "-m", "baldro.cli", *words("train", **asked, **output, **devices)],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "both").iterdir()} == {
        path.name for path in (tmp_path / "alone").iterdir()
    }
    frames = [pd.read_parquet(tmp_path / name / "samples.parquet") for name in ("both", "alone")]
    pd.testing.assert_frame_equal(*frames, rtol=1e-3, atol=1e-4)
    assert frames[0]["avg_loss"].ne(frames[1]["avg_loss"]).any(), "then there was one device only"


def test_what_cannot_be_split_is_not_scored_so(made, tmp_path, capsys):
    asked = dict(made.given, start=made.root / "base/model", run=id_of("original"), output=tmp_path / "x.parquet")
    assert baldro("score", shard=True, **asked) == 2
    assert "shard needs several GPUs" in capsys.readouterr().err


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
        code, said = started.end()
        assert (code, said) == (2, "baldro train: device 1 of this job was lost: killed by SIGKILL")
        assert time.monotonic() - began < 20
