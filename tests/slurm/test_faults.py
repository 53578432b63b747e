"""What a cluster does to jobs: each fault ends in the evidence of an undisturbed local run, and leaves nothing behind.

Two experiments with many faults each. In `faults` one hits each run, all at about the same time; in `restarts` what happens to Snakemake
and to slurmctld comes one after the other. A fault that does not come about, or that a run does not survive, fails its own tests.
"""

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from .conftest import Snakemake, Watch, ask, by_seed, copy_of, nano, pass_the_limit, processes, say_often, until

pytestmark = pytest.mark.slurm
CONFIG = "faults.yaml"
STEPS = 500
"""Some five seconds of training: time to be seen in its midst."""
SEEDS = {"nothing": 1, "hang": 2, "limit": 3, "cancel": 4, "signal": 5, "memory": 6, "preemption": 7}
"""Of the runs that a fault hits in `faults`."""
RESTARTED = {"requeued": 1, "moved": 2, "unattended": 3}
"""Of the runs in `restarts`."""


@pytest.fixture(scope="module")
def undisturbed(fresh, tmp_path_factory) -> Any:
    """A checkout after a local run of an unlearning run for each fault; a training says twice a second how far it is."""
    checkout = copy_of(fresh, tmp_path_factory.mktemp("undisturbed") / "checkout")
    say_often(checkout)
    seeds = list(SEEDS.values())
    checkout.write(CONFIG, models=nano(), name="faults", variant="baldro-dv", seed=seeds, epochs=STEPS // 2)
    checkout.snakemake(CONFIG, "--cores", "2", "--until", "unlearn", seconds=900)
    return checkout


@dataclass
class Experiment:
    """Unlearning runs that are trained and scored on the cluster, and what happens to them."""

    snakemake: Snakemake
    undisturbed: Path
    runs: dict[str, str]
    """Fault -> id of the run that it hits."""
    watch: Watch
    acts: dict[str, Future] = field(default_factory=dict)
    """Fault -> what brings it about."""
    notes: dict[str, Any] = field(default_factory=dict)
    """What was seen on the way."""

    @property
    def folder(self) -> Path:
        """Of the checkout."""
        return self.snakemake.checkout.folder

    def accounts(self, fault: str) -> list[dict[str, Any]]:
        """What the jobs of a fault's run came to; raises what went wrong when it was brought about."""
        if fault in self.acts:
            self.acts[fault].result()
        rows = map(json.loads, (self.folder / "results/slurm.jsonl").read_text().splitlines())
        return sorted((row for row in rows if row["runs"] == [self.runs[fault]]), key=lambda row: int(row["job"]))

    def states(self, fault: str) -> list[str]:
        """Of these jobs, in their order."""
        return [row["state"] for row in self.accounts(fault)]

    def continued(self, fault: str) -> bool:
        """Whether the log of the run's last attempt says that it went on from a checkpoint."""
        return "continues" in (self.folder / f"logs/unlearn/{self.runs[fault]}.log").read_text()

    def check_evidence(self, fault: str) -> None:
        """What the run's model says, and what was recorded of every sample in training, is to the bit what it is undisturbed."""
        for name in ("samples.parquet", "dynamics.parquet"):
            file = f"results/runs/{self.runs[fault]}/{name}"
            assert (self.folder / file).read_bytes() == (self.undisturbed / file).read_bytes(), file

    def check_nothing_is_left(self) -> None:
        """No job, process, lease or submission; no checkpoint but for what a metrics job is to read; and no file was made twice."""
        cluster = self.snakemake.cluster
        cluster.repair()
        until(60, lambda: f"processes are left: {processes(self.folder)}", lambda: not processes(self.folder))
        self.watch.over.set()
        self.watch.join()
        assert not cluster.queue(self.folder)
        assert not list(self.folder.glob("results/runs/*/.lease"))
        assert not list(self.folder.glob(".snakemake/baldro-slurm/*"))
        assert {path.name for path in self.folder.glob("results/runs/*/checkpoint/*")} == {"finished"}
        assert not self.watch.twice(), self.snakemake.said()
        made = [name for name in self.watch.seen if any(run in name for run in self.runs.values())]
        assert len(made) == 4 * len(self.runs)  # files that the watch saw


@pytest.fixture(scope="module")
def begin(cluster, undisturbed, tmp_path_factory) -> Iterator[Any]:
    """Make an experiment of these seeds' runs, which are to be done on the cluster; the others are there."""
    begun = []

    def made(seeds: dict[str, int], *options: str) -> Experiment:
        checkout = copy_of(undisturbed, tmp_path_factory.mktemp("disturbed") / "checkout")
        folders = by_seed(checkout)
        for seed in seeds.values():
            shutil.rmtree(folders[seed])
        watch = Watch(checkout.folder)
        watch.start()
        snakemake = Snakemake(checkout, cluster, CONFIG, ("--until", "unlearn", *options))
        runs = {fault: folders[seed].name for fault, seed in seeds.items()}
        begun.append(snakemake)
        return Experiment(snakemake, undisturbed.folder, runs, watch)

    yield made
    for snakemake in begun:
        if snakemake.process.poll() is None:
            snakemake.process.kill()
    cluster.repair()


def is_elsewhere(job: str, node: str) -> bool:
    """Whether a job was requeued and has another node."""
    said = ask("squeue", "--noheader", "--states=all", f"--jobs={job}", "--format=%T|%N").strip()
    return said.startswith(("RUNNING", "COMPLET")) and not said.endswith(f"|{node}")


# --- one fault a run


def hang(snakemake: Snakemake, run: str) -> str:
    """A node's slurmd is killed and its processes live on, asleep. They wake up when the run has been done elsewhere."""
    with snakemake.caught(run) as ((job, node),):
        snakemake.cluster.kill(f"slurmd-{node}")
        until(120, "the job is not requeued elsewhere", lambda: is_elsewhere(job, node))
        samples = snakemake.checkout.folder / f"results/runs/{run}/samples.parquet"
        until(120, "the run is not done elsewhere", samples.exists)
    return job


def cancel(snakemake: Snakemake, run: str) -> None:
    with snakemake.caught(run) as ((job, _),):
        ask("scancel", job)


def signal_ahead(snakemake: Snakemake, run: str) -> None:
    """As --signal=B:USR1@300 does."""
    with snakemake.caught(run) as ((job, _),):
        ask("scancel", "--batch", "--signal=USR1", job)


def preempt(snakemake: Snakemake, run: str) -> None:
    """A job of a higher partition wants the whole node."""
    with snakemake.caught(run) as ((job, node),):
        ask("sbatch", f"--nodelist={node}", "--exclusive", "--output=/dev/null", "--wrap=sleep 3")
        state = ("squeue", "--noheader", "--states=all", f"--jobs={job}", "--format=%T")
        until(60, "the job is not preempted", lambda: ask(*state).strip() != "RUNNING")


ACTS = {"hang": hang, "limit": pass_the_limit, "cancel": cancel, "signal": signal_ahead, "preemption": preempt}
RESOURCES = (
    "unlearn:slurm_extra='--exclusive'",  # a node for each, so that what happens to it happens to one run
    f"unlearn:mem_mb=300 if attempt == 1 and wildcards.run.endswith('--seed={SEEDS['memory']}') else 2000",
    f"unlearn:slurm_partition='scavenge' if wildcards.run.endswith('--seed={SEEDS['preemption']}') else 'gpu'",
)


@pytest.fixture(scope="module")
def faults(begin) -> Experiment:
    """The experiment after a fault in each run but one."""
    experiment = begin(SEEDS, "--set-resources", *RESOURCES)
    snakemake = experiment.snakemake
    with ThreadPoolExecutor(len(ACTS)) as pool:
        snakemake.start()
        experiment.acts = {name: pool.submit(act, snakemake, experiment.runs[name]) for name, act in ACTS.items()}
        experiment.notes["said"] = snakemake.end(code=None)
    return experiment


@pytest.mark.parametrize("fault", SEEDS)
def test_a_run_has_the_evidence_that_it_has_undisturbed(faults, fault):
    faults.accounts(fault)
    faults.check_evidence(fault)


def test_after_all_faults_nothing_is_left(faults):
    assert faults.snakemake.process.returncode == 0, faults.notes["said"]
    faults.check_nothing_is_left()


def test_nothing_happens(faults):
    assert faults.states("nothing") == ["COMPLETED"]
    assert not faults.continued("nothing")


def test_what_wakes_up_on_a_lost_node_does_not_write(faults):
    assert faults.states("hang") == ["COMPLETED"]  # of the job that was requeued
    said = (faults.folder / f"logs/slurm/{faults.acts['hang'].result()}.log").read_text()
    assert "this process stops without writing" in said


def test_a_job_past_its_time_limit_goes_on_in_the_next_attempt(faults):
    first, again = faults.accounts("limit")
    assert (first["state"], again["state"], again["attempt"]) == ("TIMEOUT", "COMPLETED", 2)
    assert first["reason"].startswith("time limit of ")
    assert faults.continued("limit")


def test_a_job_is_cancelled(faults):
    assert faults.states("cancel") == ["CANCELLED", "COMPLETED"]
    assert "cancelled (scancel)" in faults.notes["said"]
    assert faults.continued("cancel")


def test_a_job_is_signalled_ahead_of_its_time_limit(faults):
    assert faults.states("signal") == ["FAILED", "COMPLETED"]
    assert "ahead of the time limit" in faults.accounts("signal")[0]["reason"]
    assert faults.continued("signal")


def test_a_job_over_its_memory_has_more_in_the_next_attempt(faults):
    assert faults.states("memory") == ["OUT_OF_MEMORY", "COMPLETED"]
    assert faults.accounts("memory")[0]["reason"].startswith("out of memory: asked 300 MB, used ")
    assert "out of memory: asked 300 MB" in faults.notes["said"]


def test_a_preemption_in_mid_training(faults):
    assert faults.states("preemption") == ["COMPLETED"]
    assert faults.continued("preemption")


# --- one after the other


def kill(snakemake: Snakemake) -> None:
    os.kill(snakemake.process.pid, signal.SIGKILL)
    snakemake.process.wait(30)


def said_since(snakemake: Snakemake, before: int, words: str) -> None:
    until(120, lambda: f"it does not say {words!r}:\n{snakemake.said()}", lambda: words in snakemake.said()[before:])


def press_ctrl_c(experiment: Experiment) -> None:
    """In the midst of all trainings."""
    snakemake = experiment.snakemake
    snakemake.start()
    with snakemake.caught(*experiment.runs.values()):
        snakemake.process.send_signal(signal.SIGINT)
    experiment.notes["Ctrl-C"] = snakemake.process.wait(180)
    until(30, "jobs are left", lambda: not snakemake.cluster.queue(experiment.folder))


def kill_and_cancel(experiment: Experiment) -> None:
    """Snakemake is killed in the midst of all trainings, and the next one cancels its jobs."""
    snakemake = experiment.snakemake
    snakemake.start()
    with snakemake.caught(*experiment.runs.values()) as found:
        experiment.notes["after Ctrl-C"] = [experiment.continued(run) for run in experiment.runs]
        kill(snakemake)
        waits, before = snakemake.options, len(snakemake.said())
        snakemake.options += ("--baldro-slurm-earlier-jobs", "cancel")
        snakemake.start()
        said_since(snakemake, before, "3 jobs of an earlier run are cancelled")
    snakemake.options = waits
    earlier = {job for job, _ in found}
    until(60, "jobs are not cancelled", lambda: not earlier & set(snakemake.cluster.queue(experiment.folder)))


def kill_and_wait(experiment: Experiment) -> None:
    """Snakemake is killed again. One job is requeued, one ends, one is asleep when the next Snakemake starts and goes on with them.

    Then slurmctld is away for 20 seconds, in which the requeued job ends. Meanwhile the sleeping job's slurmd was killed: it is requeued
    on another node, and wakes up on the first one beside its successor.
    """
    snakemake, cluster, runs = experiment.snakemake, experiment.snakemake.cluster, experiment.runs
    with snakemake.caught(runs["moved"]) as ((moved, node),):
        with snakemake.caught(runs["requeued"], runs["unattended"]) as ((requeued, _), (unattended, _)):
            experiment.notes["after cancel"] = [experiment.continued(run) for run in runs]
            kill(snakemake)
            ask("scontrol", "requeue", requeued)
        until(120, "the job does not end", lambda: unattended not in cluster.queue(experiment.folder))
        before = len(snakemake.said())
        snakemake.start()
        said_since(snakemake, before, "of an earlier run are in the queue")
        with snakemake.caught(runs["requeued"]):
            cluster.kill(f"slurmd-{node}")
            cluster.kill("slurmctld")
            until_back = time.monotonic() + 20
        samples = experiment.folder / f"results/runs/{runs['requeued']}/samples.parquet"
        until(60, "the requeued job does not end", samples.exists)
        time.sleep(max(0, until_back - time.monotonic()))
        cluster.start("slurmctld")
        until(120, "the job is not requeued elsewhere", lambda: is_elsewhere(moved, node))
    snakemake.end()


@pytest.fixture(scope="module")
def restarts(begin) -> Experiment:
    """The experiment after all this."""
    experiment = begin(RESTARTED, "--set-resources", RESOURCES[0])
    press_ctrl_c(experiment)
    kill_and_cancel(experiment)
    kill_and_wait(experiment)
    return experiment


@pytest.mark.parametrize("run", RESTARTED)
def test_a_run_of_many_snakemakes_has_the_evidence_that_it_has_undisturbed(restarts, run):
    restarts.check_evidence(run)


def test_after_all_restarts_nothing_is_left(restarts):
    restarts.check_nothing_is_left()
    assert "unlearn" not in restarts.snakemake.checkout.planned(CONFIG)


def test_ctrl_c_cancels_the_jobs_and_the_next_start_goes_on(restarts):
    assert restarts.notes["Ctrl-C"] != 0
    assert all(restarts.notes["after Ctrl-C"])
    assert [restarts.states(run)[0] for run in restarts.runs] == ["CANCELLED"] * 3


def test_a_killed_snakemake_is_started_again_and_cancels_its_jobs(restarts):
    assert all(restarts.notes["after cancel"])
    assert [restarts.states(run)[1] for run in restarts.runs] == ["CANCELLED"] * 3


@pytest.mark.parametrize("run", RESTARTED)
def test_a_killed_snakemake_is_started_again_and_submits_no_job_twice(restarts, run):
    """Whether it was requeued meanwhile, or had to be requeued on another node, or had ended."""
    assert restarts.states(run)[2:] == ["COMPLETED"]
    assert run == "moved" or restarts.continued(
        run
    )  # what woke up on a lost node may have done it, which its successor hands over
