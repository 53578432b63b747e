"""What happens to Snakemake, to slurmctld and to jobs meanwhile, one after the other in one experiment.

It ends in the evidence of an undisturbed local run, and nothing is left.
"""

import os
import signal
import time

import pytest

from .disturbed import ALONE, Experiment, is_elsewhere
from .machine import ask, until
from .started import Snakemake

pytestmark = pytest.mark.slurm
RESTARTED = {"requeued": 1, "moved": 2, "unattended": 3}
"""Seeds of the runs."""


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
    experiment = begin(RESTARTED, "--set-resources", ALONE)
    press_ctrl_c(experiment)
    kill_and_cancel(experiment)
    kill_and_wait(experiment)
    return experiment


@pytest.mark.parametrize("run", RESTARTED)
def test_a_run_of_many_snakemakes_has_the_evidence_that_it_has_undisturbed(restarts, run):
    restarts.check_evidence(run)


def test_after_all_restarts_nothing_is_left(restarts):
    restarts.check_nothing_is_left()
    assert "unlearn" not in restarts.snakemake.checkout.planned(restarts.snakemake.config)


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
    if run != "moved":  # what wakes up on a lost node may end the run, and its successor then hands over what it made
        assert restarts.continued(run)
