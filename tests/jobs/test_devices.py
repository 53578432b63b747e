"""Several devices through the command line: two real processes end with the weights of one."""

import json
import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from baldro.cli import main

BENCHMARK = {
    "kind": "fictional",
    "authors": 4,
    "questions": 2,
    "background_authors": 2,
    "known_authors": 4,
    "world_facts": 4,
}
MODEL = {"build": {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}}
RUN = "few--nano--base--pretrain--lr=0.01--max_steps=3--batch_size=5"


@pytest.fixture
def command(tmp_path):
    definition = json.dumps({**BENCHMARK, "forget": {"forget25": "retain75"}})
    assert main(["benchmark", "--definition", definition, "--output", str(tmp_path / "few.parquet")]) == 0
    nano = str(tmp_path / "nano.json")
    assert main(["model", "--name", "nano", "--definition", json.dumps(MODEL), "--output", nano]) == 0
    return ["train", "--run", RUN, "--benchmark", str(tmp_path / "few.parquet"), "--model", nano, "--output"]


@pytest.mark.processes
def test_two_processes_end_with_the_weights_of_one(command, tmp_path):
    assert main([*command, str(tmp_path / "one")]) == 0
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "--"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launcher, "baldro.cli", *command, str(tmp_path / "two")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    one, two = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("one", "two"))
    for name, weight in one.items():
        torch.testing.assert_close(two[name], weight, rtol=1e-4, atol=1e-5)
    assert any(not torch.equal(two[name], weight) for name, weight in one.items()), (
        "the two processes did not share the work"
    )
