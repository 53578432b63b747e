"""What a killed Snakemake left, as the next one of the folder finds it; tests/workflow/test_killed.py has the real Snakemake."""

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake_interface_common.exceptions import WorkflowError

from snakemake_executor_plugin_baldro_slurm import slurm
from snakemake_executor_plugin_baldro_slurm.start import OWNER, check_cluster, claim, unlock

HERE = SimpleNamespace(local_exec=True)
LOCK = Path(".snakemake/locks/0.input.lock")


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """The working directory of a workflow, with a lock and a submission in it."""
    monkeypatch.chdir(tmp_path)
    LOCK.parent.mkdir(parents=True)
    LOCK.touch()
    Path(".snakemake/baldro-slurm/baldro-1").mkdir(parents=True)
    return tmp_path


def owned(**changes: object) -> None:
    """Note an owner that differs in something from this process."""
    claim()
    OWNER.write_text(json.dumps(json.loads(OWNER.read_text()) | changes))


def says(monkeypatch, *jobs: str) -> None:
    """What squeue answers."""
    rows = "".join(f"{number}|RUNNING|{name}|None|/a\n" for number, name in enumerate(jobs, 812))
    monkeypatch.setattr(slurm, "ask", lambda *command, **options: rows)


@pytest.mark.parametrize(
    ("changes", "is_locked"),
    [({}, True), ({"born": 1.0}, False), ({"pid": 2**22 + 1}, False), ({"host": "elsewhere", "born": 1.0}, True)],
    ids=["alive", "its number is another's", "gone", "of another machine"],
)
def test_a_lock_is_removed_if_its_owner_was_here_and_is_gone(folder, changes, is_locked):
    owned(**changes)
    unlock()
    assert LOCK.exists() == is_locked
    assert is_locked or json.loads(OWNER.read_text())["pid"] == os.getpid()


def test_a_lock_without_an_owner_stays(folder):
    unlock()
    assert LOCK.exists() and not OWNER.exists()


def test_live_jobs_of_the_folder_are_not_run_beside(folder, monkeypatch):
    says(monkeypatch, "baldro-1", "baldro-2")
    with pytest.raises(WorkflowError, match="812"):
        check_cluster(HERE)
    check_cluster(SimpleNamespace(local_exec=False))  # the executor goes on with them
    says(monkeypatch, "baldro-2", "another")
    check_cluster(HERE)


def test_a_squeue_that_does_not_answer_is_no_answer(folder, monkeypatch):
    def ask(*command: str, **options: object) -> str:
        raise slurm.Unanswered("squeue: not found")

    monkeypatch.setattr(slurm, "ask", ask)
    with pytest.raises(WorkflowError, match="squeue"):
        check_cluster(HERE)
    Path(".snakemake/baldro-slurm/baldro-1").rmdir()
    check_cluster(HERE)
