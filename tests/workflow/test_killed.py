"""A Snakemake that is killed on this machine: the next one goes on without being told to unlock, and never beside a living one."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from baldro.durable.files import read_json

pytestmark = pytest.mark.processes


@pytest.fixture
def undone(checkout):
    """A checkout whose unlearning runs are still to be done, and take a while."""
    for folder in checkout.folder.glob("results/runs/*--npo*"):
        shutil.rmtree(folder)
    checkout.write("small.yaml", epochs=1000)
    return checkout


def start(checkout) -> subprocess.Popen:
    command = [sys.executable, "-m", "snakemake", "--configfile", "small.yaml", "--cores", "1"]
    return subprocess.Popen(
        command, cwd=checkout.folder, env=checkout.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def locked(checkout, seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if list(checkout.folder.glob(".snakemake/locks/*.lock")):
            return True
        time.sleep(0.05)
    return False


def kill_all(process: subprocess.Popen, folder: Path) -> None:
    """Snakemake first, then what it started."""
    os.kill(process.pid, signal.SIGKILL)
    process.wait(10)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if os.readlink(entry / "cwd") == str(folder):
                    os.kill(int(entry.name), signal.SIGKILL)
            except OSError:
                continue


def test_the_lock_of_a_killed_snakemake_is_none_and_that_of_a_living_one_or_of_another_machine_is(undone):
    process = start(undone)
    try:
        assert locked(undone)
        assert "cannot be locked" in undone.snakemake("small.yaml", code=1).stderr
        assert process.poll() is None
    finally:
        kill_all(process, undone.folder)
    assert locked(undone, 1)
    state, owner = undone.folder / ".snakemake", undone.folder / ".snakemake/owner.json"
    shutil.copytree(state / "locks", kept := undone.folder / "locks")
    here = owner.read_text()
    owner.write_text(here.replace(read_json(owner)["host"], "elsewhere"))
    assert "cannot be locked" in undone.snakemake("small.yaml", code=1).stderr
    undone.snakemake("small.yaml", "--unlock")
    assert not locked(undone, 0.1)
    shutil.copytree(kept, state / "locks", dirs_exist_ok=True)
    owner.write_text(here)
    undone.write("small.yaml", variant="base", max_steps=1)  # seconds of work
    undone.snakemake("small.yaml")
    assert not locked(undone, 0.1)


def test_jobs_that_are_live_on_a_cluster_are_not_run_beside(checkout):
    """With a squeue that says so (tests/slurm has a real one)."""
    (checkout.folder / ".snakemake/baldro-slurm/baldro-1").mkdir(parents=True)
    squeue = checkout.folder / "bin/squeue"
    squeue.write_text(
        "#!/bin/sh\necho '812|RUNNING|baldro-1|None|/a'\necho '813|RUNNING|baldro-2|None|/a'\n"
        "echo '814|PENDING|my own job|None|/a'\necho '815'\n"
    )
    squeue.chmod(0o755)
    checkout.write("small.yaml", npo_beta=0.1)  # the same runs, so that the report alone is to be made
    refused = checkout.snakemake("small.yaml", code=1)
    assert "SLURM jobs 812 " in refused.stdout + refused.stderr
    squeue.write_text("#!/bin/sh\n")
    checkout.snakemake("small.yaml")
