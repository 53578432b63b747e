"""What a cluster does to jobs: a fault hits each run of one experiment, all at about the same time.

Each ends in the evidence of an undisturbed local run, and nothing is left. A fault that does not come about, or that a run does not
survive, fails its own tests.
"""

from concurrent.futures import ThreadPoolExecutor

import pytest

from .disturbed import ALONE, Experiment, is_elsewhere
from .machine import ask, until
from .started import Snakemake, pass_the_limit

pytestmark = pytest.mark.slurm
SEEDS = {"nothing": 1, "hang": 2, "limit": 3, "cancel": 4, "signal": 5, "memory": 6, "preemption": 7}
"""Of the runs that a fault hits."""


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
    ALONE,
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
