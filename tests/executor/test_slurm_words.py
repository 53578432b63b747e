"""What SLURM writes, and what is made of it."""

import pytest

from snakemake_executor_plugin_baldro_slurm import slurm
from snakemake_executor_plugin_baldro_slurm.slurm import End


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("400M", 400),
        ("1.5G", 1536),
        ("2048K", 2),
        ("4Gn", 4096),
        ("4000Mc", 4000),
        ("1T", 2**20),
        ("104857600", 100),
        ("0", 0),
    ],
)
def test_sizes(text, value):
    assert slurm.megabytes(text) == value


@pytest.mark.parametrize(
    ("text", "value"), [("05:00", 300), ("1:02:03", 3723), ("2-00:00:01", 172801), ("UNLIMITED", 0), ("00:10:00", 600)]
)
def test_times(text, value):
    assert slurm.seconds(text) == value


def why(state: str, **more: object) -> str:
    given = dict(asked_mb=400, minutes=30, stopped="", said="") | {
        k: v for k, v in more.items() if k in ("stopped", "said")
    }
    end = {k: v for k, v in more.items() if k in ("node", "used_mb")}
    return slurm.reason(End(state=state, **end), **given)


def test_reasons_are_words():
    assert why("OUT_OF_MEMORY", used_mb=399) == "out of memory: asked 400 MB, used 399 MB"
    assert why("OUT_OF_MEMORY") == "out of memory: asked 400 MB"
    assert why("TIMEOUT", said="baldro train: interrupted by SIGTERM") == "time limit of 30 min"
    assert why("NODE_FAIL", node="n3") == "node n3 was lost"
    assert why("CANCELLED") == "cancelled (scancel)"
    assert (
        why("FAILED", stopped="USR1", said="baldro train: interrupted") == "stopped ahead of the time limit of 30 min"
    )
    assert (
        why("FAILED", said="baldro train: forget loss is NaN at step 3") == "baldro train: forget loss is NaN at step 3"
    )
    unknown = dict(asked_mb=1, minutes=1, stopped="", said="")
    assert slurm.reason(None, **unknown) == "SLURM no longer knows the job"
    assert slurm.reason(None, **unknown, status=3) == "failed without a word: exit status 3"
    assert slurm.reason(None, **unknown, status=137) == "failed without a word: exit status 137 (killed by signal 9)"


def test_the_last_words_are_the_programs_own(tmp_path):
    log, trace, fine = tmp_path / "a", tmp_path / "b", tmp_path / "c"
    log.write_text("step 1\nbaldro train: loss is NaN at step 2\nafterthought\n")
    trace.write_text("step 1\nTraceback (most recent call last):\n  File\nOutOfMemoryError: no\n")
    fine.write_text("1 steps, 2 tokens\n")
    assert slurm.last_words([fine, log]) == "baldro train: loss is NaN at step 2"
    assert slurm.last_words([trace]) == "OutOfMemoryError: no"
    assert slurm.last_words([fine, tmp_path / "absent"]) == ""
    assert slurm.last_words([log], since=log.stat().st_mtime + 1) == ""  # an earlier attempt's


def test_only_an_error_that_would_come_again_is_final():
    assert slurm.is_final("baldro train: forget loss is NaN at step 3")
    assert not slurm.is_final("baldro train: interrupted by SIGTERM after step 3; the checkpoint will be continued")
    assert not slurm.is_final("baldro train: results/runs/x now belongs to job 8 on n2")
    assert not slurm.is_final("baldro train: interrupted by a signal to another device after step 3")
    assert slurm.is_final("baldro train: device 3 of this job: 4 GPUs are asked for, and this process sees 2")
    assert not slurm.is_final("baldro train: another node of this job was lost: its process has ended")
    assert not slurm.is_final("baldro train: the connection to another process of this job has ended: no")
    assert not slurm.is_final("OutOfMemoryError: no")
    assert not slurm.is_final("")


@pytest.mark.parametrize(
    "said",
    [
        "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)",
        "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation",
        "sbatch: error: QOSMaxSubmitJobPerUserLimit",
        "sbatch: error: AssocGrpSubmitJobsLimit",
        "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying",
    ],
)
def test_what_passes_is_asked_again(said):
    assert slurm.TRANSIENT.search(said)


@pytest.mark.parametrize(
    "said",
    [
        "sbatch: error: invalid partition specified: gpus",
        "sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified",
        "sbatch: error: Batch job submission failed: Requested node configuration is not available",
    ],
)
def test_what_does_not_pass_is_an_error(said):
    assert not slurm.TRANSIENT.search(said)
