"""Several nodes: each finds its place by what SLURM says, and all end as one process does. A script stands for srun."""

import os
import signal
import sys

import psutil
import pytest
from refusals import refused

from baldro.jobs import nodes

from .test_devices import assert_alike
from .test_interruption import Started

SRUN = """#!{python}
import os, signal, subprocess, sys
options = sys.argv[1:sys.argv.index(sys.executable)]
assert {{"--nodes=1", "--ntasks=1", "--relative=1"}} <= set(options), options
os.environ.update(SLURM_PROCID="0", SLURM_LAUNCH_NODE_IPADDR="127.0.0.1")
task = subprocess.Popen(sys.argv[1 + len(options):], start_new_session=True)
for number in (signal.SIGTERM, signal.SIGUSR1):
    signal.signal(number, lambda number, frame: task.send_signal(number))
code = task.wait()
print("srun: error: n2: task 0: Exited with exit code", code, file=sys.stderr)
sys.exit(code)
"""
"""Its task is another process's child, and outlives it."""


@pytest.mark.parametrize(("procid", "devices", "rank"), [(0, 1, "1"), (0, 4, "4"), (2, 4, "12")])
def test_a_further_nodes_first_place(procid, devices, rank):
    said = dict(SLURM_PROCID=str(procid), SLURM_LAUNCH_NODE_IPADDR="10.0.0.7")
    assert nodes.place(devices, said) == dict(RANK=rank, LOCAL_RANK="0", MASTER_ADDR="10.0.0.7")


def test_only_a_process_that_srun_started_is_a_further_nodes():
    """A batch script has SLURM_PROCID too; the processes of a node's other devices have a rank."""
    assert not nodes.is_other({"SLURM_PROCID": "0"})
    assert nodes.is_other({"SLURM_PROCID": "0", nodes.LINE: "5"})
    assert not nodes.is_other({"SLURM_PROCID": "0", nodes.LINE: "5", "RANK": "3"})


def test_a_step_has_all_nodes_but_the_first():
    assert {"--nodes=3", "--ntasks=3", "--relative=1"} <= set(nodes.command(4))


def test_nodes_that_are_not_there_are_refused():
    nodes.check(2, {"SLURM_JOB_NUM_NODES": "2"})
    with refused("too-few-nodes", "2 nodes", "no SLURM job"):
        nodes.check(2, {})
    with refused("too-few-nodes", "a SLURM job of 1"):
        nodes.check(2, {"SLURM_JOB_NUM_NODES": "1"})


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A SLURM job of two nodes, both of them here."""
    script = tmp_path / "bin" / "srun"
    script.parent.mkdir()
    script.write_text(SRUN.format(python=sys.executable))
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_NUM_NODES", "2")
    monkeypatch.setenv("SLURM_PROCID", "0")


@pytest.mark.processes
@pytest.mark.usefixtures("one_thread", "slurm")
def test_two_nodes_stop_together_and_end_with_the_weights_of_one(made, tmp_path):
    with Started(output=tmp_path / "run", nodes=2, shard=True, **made.unlearn) as started:
        started.steps(5)
        started.hit(signal.SIGTERM)
        code, said = started.end()
    assert (code, "interrupted by SIGTERM" in said) == (2, True)
    with Started(output=tmp_path / "run", nodes=2, **made.unlearn) as started:
        assert started.end()[0] == 0
    assert_alike(tmp_path / "run", made.root / "long")


@pytest.mark.processes
@pytest.mark.usefixtures("one_thread", "slurm")
def test_nodes_whose_first_is_killed_end_too(made, tmp_path):
    with Started(output=tmp_path / "run", nodes=2, devices=2, **made.unlearn) as started:
        started.steps(2)
        others = psutil.Process(started.process.pid).children(recursive=True)
        assert len(others) == 4  # srun and two devices behind it, and one here
        started.process.kill()
        started.process.wait()
        _, alive = psutil.wait_procs(others, timeout=30)
        assert not alive
