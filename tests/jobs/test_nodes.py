"""Several nodes: each finds its place by what SLURM says, and all end as one process does. A script stands for srun."""

import os
import signal
import socket
import sys
import time

import psutil
import pytest
from refusals import refused

from baldro.jobs import nodes
from baldro.jobs.several import Group

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
    """A SLURM job of two nodes, both of them here; its srun."""
    script = tmp_path / "bin" / "srun"
    script.parent.mkdir()
    script.write_text(SRUN.format(python=sys.executable))
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_NUM_NODES", "2")
    monkeypatch.setenv("SLURM_PROCID", "0")
    return script


@pytest.fixture(params=["its end is good", "it is lost"])
def said(request):
    """What another node's process says before its connection ends, and what the first makes of that."""
    return (nodes.DONE, None) if request.param == "its end is good" else (b"", "its process has ended")


def test_a_connection_that_ends_is_a_lost_node_unless_its_work_was_done(said):
    with nodes.Followers(2) as first:
        others = [socket.create_connection(("127.0.0.1", first.port)) for _ in range(2)]
        assert first.lost() is None
        others[0].sendall(said[0])
        others[0].close()
        time.sleep(0.1)
        assert first.lost() == said[1]
        others[1].close()


def test_a_watch_that_fails_ends_the_process(monkeypatch, capsys):
    group = Group()
    monkeypatch.setattr(group, "why", lambda: 1 / 0)
    monkeypatch.setattr(os, "_exit", sys.exit)
    with pytest.raises(SystemExit, match="2"):
        group.watch()
    assert "ZeroDivisionError" in capsys.readouterr().err


def task(started):
    """The other node's process."""
    own = started.process.pid
    (found,) = [each for each in psutil.Process(own).children(recursive=True) if each.ppid() != own]
    return found


@pytest.mark.processes
@pytest.mark.usefixtures("one_thread", "slurm")
def test_two_nodes_stop_together_and_end_with_the_weights_of_one(made, tmp_path):
    """Whichever is told, as at a time limit the step is."""
    for told, by in (("first", "interrupted by SIGTERM"), ("other", "interrupted by a signal to another device")):
        with Started(output=tmp_path / "run", nodes=2, shard=True, **made.unlearn) as started:
            started.steps(5)
            os.kill(started.process.pid if told == "first" else task(started).pid, signal.SIGTERM)
            code, said = started.end()
        assert (code, by in said) == (2, True), said
    with Started(output=tmp_path / "run", nodes=2, **made.unlearn) as started:
        assert started.end()[0] == 0
    assert_alike(tmp_path / "run", made.root / "long")


@pytest.mark.processes
@pytest.mark.usefixtures("one_thread", "slurm")
@pytest.mark.parametrize("lost", ["first", "other"])
def test_a_node_that_is_lost_ends_all_within_seconds(made, tmp_path, lost):
    with Started(output=tmp_path / "run", nodes=2, devices=1 + (lost == "first"), **made.unlearn) as started:
        started.steps(2)
        others = psutil.Process(started.process.pid).children(recursive=True)
        assert len(others) == (4 if lost == "first" else 2)  # srun, the devices behind it, and those here
        (started.process if lost == "first" else task(started)).kill()
        code, said = started.end()
        assert lost == "first" or (
            code == 2 and said.startswith("baldro train: another node of this job was lost: srun: ")
        )
        _, alive = psutil.wait_procs(others, timeout=10)
        assert not alive


SAYS = "print('baldro train: x.parquet is not there', file=sys.stderr); sys.exit(2)"


@pytest.mark.processes
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    ("does", "reason"),
    [(SAYS, "another node of this job: x.parquet is not there"),
     ("time.sleep(600)", "another node of this job was lost: 1 of 1 did not start within 1 s")],
    ids=["fails", "never comes"],
)  # fmt: skip
def test_a_node_that_does_not_take_part(made, slurm, tmp_path, does, reason):
    slurm.write_text(f"#!{sys.executable}\nimport sys, time\n{does}\n")
    short = "import baldro.jobs.nodes as nodes, baldro.jobs.several as several; nodes.COMING = several.GRACE = 1"
    with Started(first=short, output=tmp_path / "run", nodes=2, **made.unlearn) as started:
        assert started.end() == (2, f"baldro train: {reason}")


@pytest.mark.processes
@pytest.mark.usefixtures("slurm")
def test_a_mistake_that_all_nodes_meet_is_said_once(made, tmp_path):
    began = time.monotonic()
    with Started(output=tmp_path / "run", nodes=2, **{**made.unlearn, "run": "none"}) as started:
        _, error = started.process.communicate(timeout=600)
    assert started.process.returncode == 2 and len(error.splitlines()) == 1 and error.startswith("baldro train: ")
    assert time.monotonic() - began < 20
