"""Jobs that are handed over: each is followed, submitted or told as failed, whatever goes wrong on the way."""

from types import SimpleNamespace

import pytest

pytest.importorskip("snakemake_interface_executor_plugins")

from snakemake_executor_plugin_baldro_slurm import Executor


@pytest.fixture
def executor():
    """Its methods on a bare object that notes what Snakemake would be told."""
    bare = Executor.__new__(Executor)
    bare.told, bare.submitted = [], []
    bare.adoptable, bare.is_ending = {"earlier": None}, False
    bare.report_job_submission = lambda info: bare.told.append(("followed", info))
    bare.report_job_error = lambda info, msg, slurm: bare.told.append(("failed", info.job, msg))
    bare._submit = bare.submitted.extend
    return bare


JOBS = [SimpleNamespace(name=name) for name in "abcd"]


def test_a_fault_in_the_midst_leaves_no_job_that_nobody_hears_of(executor):
    def adopt(job):
        if job.name == "c":
            raise OSError("stale file handle")
        return job.name if job.name == "b" else None

    executor.adopt = adopt
    executor._run_pack(JOBS)
    message = "could not be submitted: stale file handle\n"
    assert executor.submitted == []
    assert executor.told == [("followed", "b"), *[("failed", job, message) for job in JOBS if job.name != "b"]]


def test_what_is_not_under_way_is_submitted_together(executor):
    executor.adopt = lambda job: job.name if job.name == "b" else None
    executor._run_pack(JOBS)
    assert executor.told == [("followed", "b")] and executor.submitted == [job for job in JOBS if job.name != "b"]
