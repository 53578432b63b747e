"""What a cluster does to jobs: each fault ends in the evidence of an undisturbed local run, and leaves nothing behind."""

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import Snakemake, Watch, ask, copy_of, nano, processes, tables, until

pytestmark = pytest.mark.slurm
CONFIG = "faults.yaml"
STEPS = 4000
"""Enough for some fifteen seconds of training: time for a fault in its midst."""


@pytest.fixture(scope="session")
def undisturbed(fresh, tmp_path_factory) -> Any:
    """A checkout after a local run of two unlearning runs."""
    checkout = copy_of(fresh, tmp_path_factory.mktemp("undisturbed") / "checkout")
    checkout.write(CONFIG, models=nano(), name="faults", epochs=STEPS // 2)
    checkout.snakemake(CONFIG, "--cores", "2")
    return checkout


@pytest.fixture
def snakemake(cluster, undisturbed, tmp_path) -> Iterator[Snakemake]:
    """The unlearning runs are to be trained and scored, on the cluster. Afterwards: the same evidence, nothing left, no file made twice.

    Metrics and tables are made from that evidence: `test_nothing_happens` alone goes all the way.
    """
    checkout = copy_of(undisturbed, tmp_path / "checkout")
    for folder in (*checkout.folder.glob("results/runs/*--npo*"), checkout.folder / "results/reports"):
        shutil.rmtree(folder)
    watch = Watch(checkout.folder)
    watch.start()
    started = Snakemake(checkout, cluster, CONFIG, ("--until", "unlearn"))
    yield started
    try:
        assert started.process.returncode == 0, "the test did not wait for the end"
        cluster.repair()
        until(60, f"processes are left: {processes(checkout.folder)}", lambda: not processes(checkout.folder))
        watch.over.set()
        watch.join()
        assert made(checkout.folder) == made(undisturbed.folder)
        assert not cluster.queue(checkout.folder)
        waiting = {path.name for path in checkout.folder.glob("results/runs/*/checkpoint/*")}
        assert waiting == (
            {"finished"} if "--until" in started.options else set()
        )  # until the metrics read the evidence
        assert not list(checkout.folder.glob("results/runs/*/.lease"))
        assert not list(checkout.folder.glob(".snakemake/baldro-slurm/*"))
        assert not watch.twice(), started.said()
        assert len(watch.seen) == 2 * (4 if "--until" in started.options else 6)  # files a run
    finally:
        if started.process.poll() is None:
            started.process.kill()
        cluster.repair()


def made(folder: Path) -> dict[str, bytes]:
    """What the unlearning runs came to, to the bit: what their models say, and what was recorded of every sample in training."""
    files = [
        path for name in ("samples.parquet", "dynamics.parquet") for path in folder.glob(f"results/runs/*--npo*/{name}")
    ]
    assert len(files) == 4
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def accounts(snakemake: Snakemake) -> list[dict[str, Any]]:
    """What the jobs of a test came to."""
    lines = (snakemake.checkout.folder / "results/slurm.jsonl").read_text().splitlines()
    return sorted(map(json.loads, lines), key=lambda row: int(row["job"]))


def continued(snakemake: Snakemake, run: str) -> bool:
    """Whether a run's log says that it went on from a checkpoint."""
    return "continues" in (snakemake.checkout.folder / f"logs/unlearn/{run}.log").read_text()


def test_nothing_happens(snakemake, undisturbed):
    """To the tables and back to nothing to be done."""
    snakemake.options = ()
    snakemake.start()
    snakemake.end()
    assert [row["state"] for row in accounts(snakemake)] == ["COMPLETED"] * 2
    assert tables(snakemake.checkout.folder) == tables(undisturbed.folder)


def test_a_slurmd_is_killed_under_a_running_training(snakemake):
    """The node's processes live on, asleep; they wake up when the run has been done elsewhere, and must not write."""
    snakemake.start()
    run, (job, node) = next(iter(snakemake.training().items()))
    asleep = put_to_sleep(snakemake, run)
    snakemake.cluster.kill(f"slurmd-{node}")
    until(120, "the job is not requeued elsewhere", lambda: is_elsewhere(job, node))
    snakemake.end()
    wake_up(snakemake, asleep)
    assert {row["state"] for row in accounts(snakemake)} == {"COMPLETED"}
    said = (snakemake.checkout.folder / f"logs/slurm/{job}.log").read_text()
    assert "this process stops without writing" in said


def put_to_sleep(snakemake: Snakemake, run: str) -> set[int]:
    """Stop every process of a run, as if its node hung; returns their ids."""
    asleep = {pid for pid, command in processes(snakemake.checkout.folder).items() if run in command}
    for pid in asleep:
        os.kill(pid, signal.SIGSTOP)
    return asleep


def wake_up(snakemake: Snakemake, asleep: set[int]) -> None:
    """Let processes go on, and see them end."""
    for pid in asleep:
        os.kill(pid, signal.SIGCONT)
    until(60, "what woke up does not end", lambda: not asleep & processes(snakemake.checkout.folder).keys())


def is_elsewhere(job: str, node: str) -> bool:
    said = ask("squeue", "--noheader", "--states=all", f"--jobs={job}", "--format=%T|%N").strip()
    return said.startswith(("RUNNING", "COMPLET")) and not said.endswith(f"|{node}")


def test_a_job_past_its_time_limit_goes_on_in_the_next_attempt(snakemake):
    snakemake.start()
    run, (job, _) = next(iter(snakemake.training().items()))
    asleep = put_to_sleep(snakemake, run)  # it may take SLURM half a minute to notice
    ask("scontrol", "update", f"JobId={job}", "EndTime=now")
    log = snakemake.checkout.folder / f"logs/slurm/{job}.log"
    until(90, "the limit is not noticed", lambda: "DUE TO TIME LIMIT" in log.read_text())
    wake_up(snakemake, asleep)  # SIGTERM is there, SIGKILL two seconds away
    snakemake.end()
    assert continued(snakemake, run)
    first, again = (row for row in accounts(snakemake) if row["runs"] == [run])
    assert (first["state"], again["state"], again["attempt"]) == ("TIMEOUT", "COMPLETED", 2)
    assert first["reason"].startswith("time limit of ")


def test_one_job_is_cancelled_and_one_signalled_ahead_of_its_time_limit(snakemake):
    snakemake.start()
    cancelled, (job, _) = next(iter(snakemake.training().items()))
    ask("scancel", job)
    signalled, (job, _) = next(iter(snakemake.training(without=cancelled).items()))
    ask("scancel", "--batch", "--signal=USR1", job)  # as --signal=B:USR1@300 does
    said = snakemake.end()
    assert continued(snakemake, cancelled) and continued(snakemake, signalled)
    tries = {run: [row for row in accounts(snakemake) if row["runs"] == [run]] for run in (cancelled, signalled)}
    assert [row["state"] for row in tries[cancelled]] == ["CANCELLED", "COMPLETED"]
    assert [row["state"] for row in tries[signalled]] == ["FAILED", "COMPLETED"]
    assert "cancelled (scancel)" in said
    assert "ahead of the time limit" in tries[signalled][0]["reason"]


def test_a_job_over_its_memory_has_more_in_the_next_attempt(snakemake):
    tight = "300 if attempt == 1 else 2000"
    snakemake.options += ("--set-resources", f"unlearn:mem_mb={tight}", f"score:mem_mb={tight}")
    snakemake.start()
    said = snakemake.end()
    rows = accounts(snakemake)
    assert [row["state"] for row in rows] == ["OUT_OF_MEMORY"] * 2 + ["COMPLETED"] * 2
    assert all(row["reason"].startswith("out of memory: asked 300 MB, used ") for row in rows[:2])
    assert "out of memory: asked 300 MB" in said


def test_a_preemption_in_mid_training(snakemake):
    snakemake.options += ("--default-resources", "slurm_partition=scavenge", "runtime=10", "mem_mb=2000")
    snakemake.start()
    runs = snakemake.training()
    ask("sbatch", "--partition=gpu", "--nodes=4", "--exclusive", "--output=/dev/null", "--wrap=sleep 3")
    snakemake.end()
    assert all(continued(snakemake, run) for run in runs)
    assert [row["state"] for row in accounts(snakemake)] == ["COMPLETED"] * 2


def away_for_20_seconds(snakemake: Snakemake) -> None:
    snakemake.cluster.kill("slurmctld")
    time.sleep(20)
    snakemake.cluster.start("slurmctld")


def kill(snakemake: Snakemake) -> None:
    os.kill(snakemake.process.pid, signal.SIGKILL)
    snakemake.process.wait(30)


def test_a_killed_snakemake_is_started_again_and_waits_for_its_jobs_one_of_which_is_requeued(snakemake):
    snakemake.start()
    run, (job, _) = next(iter(snakemake.training().items()))
    kill(snakemake)
    ask("scontrol", "requeue", job)
    snakemake.start()
    said = snakemake.end()
    assert "of an earlier run are in the queue" in said
    assert continued(snakemake, run)
    assert [row["state"] for row in accounts(snakemake)] == ["COMPLETED"] * 2  # none was submitted again


def test_a_killed_snakemake_is_started_again_and_cancels_its_jobs(snakemake):
    snakemake.options += ("--baldro-slurm-earlier-jobs", "cancel")
    snakemake.start()
    runs = snakemake.training()
    kill(snakemake)
    snakemake.start()
    said = snakemake.end()
    assert "are cancelled" in said
    assert sorted(row["state"] for row in accounts(snakemake)) == ["CANCELLED"] * 2 + ["COMPLETED"] * 2
    assert all(continued(snakemake, run) for run in runs)


def test_a_killed_snakemake_is_started_again_after_its_jobs_have_ended(snakemake):
    snakemake.start()
    snakemake.training()
    kill(snakemake)
    until(120, "the jobs do not end", lambda: not snakemake.cluster.queue(snakemake.checkout.folder))
    snakemake.start()
    snakemake.end()
    assert [row["state"] for row in accounts(snakemake)] == ["COMPLETED"] * 2
    assert "unlearn" not in snakemake.checkout.planned(CONFIG)


def test_ctrl_c_cancels_the_jobs_and_the_next_start_goes_on(snakemake):
    snakemake.start()
    runs = snakemake.training()
    snakemake.process.send_signal(signal.SIGINT)
    assert snakemake.process.wait(180) != 0
    until(30, "jobs are left", lambda: not snakemake.cluster.queue(snakemake.checkout.folder))
    snakemake.start()
    snakemake.end()
    assert all(continued(snakemake, run) for run in runs)
    states = sorted(row["state"] for row in accounts(snakemake))
    assert states == ["CANCELLED"] * 2 + ["COMPLETED"] * 2


def test_a_node_is_lost_while_slurmctld_is_away(snakemake):
    """The other job's node stays: it ends as if nothing had been."""
    snakemake.start()
    run, (job, node) = next(iter(snakemake.training().items()))
    asleep = put_to_sleep(snakemake, run)
    snakemake.cluster.kill(f"slurmd-{node}")
    away_for_20_seconds(snakemake)
    until(120, "the job is not requeued elsewhere", lambda: is_elsewhere(job, node))
    wake_up(snakemake, asleep)  # beside its successor
    snakemake.end()
