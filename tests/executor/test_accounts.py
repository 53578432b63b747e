"""results/slurm.jsonl: a line a job, once, whatever happened to the Snakemake that wrote it."""

import json

from snakemake_executor_plugin_baldro_slurm.accounts import Accounts
from snakemake_executor_plugin_baldro_slurm.slurm import End
from snakemake_executor_plugin_baldro_slurm.submission import Member, Submission


def submission(tmp_path, status: int) -> Submission:
    times, log = tmp_path / "run.tsv", tmp_path / "run.log"
    times.write_text("s\th:m:s\n12.34\t0:00:12\n")
    log.write_text("baldro train: forget loss is NaN at step 3\n")
    member = Member(
        specs={}, rules=["unlearn", "score"], runs=["a"], logs=[str(log)], benchmarks=[str(times), str(times)]
    )
    asked = dict(attempt=2, gpus=1, cpus=1, mem_mb=500, minutes=5)
    made = Submission(folder=tmp_path / f"baldro-{status}", log="logs/slurm/%j.log", members=[member], **asked)
    made.write(["true"], workdir=tmp_path)
    (made.folder / "0.exit").write_text(f"{status} 0\n")
    (made.folder / "turn").write_text("0\n")
    return made


def read(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_says_what_was_asked_held_and_used(tmp_path):
    path = tmp_path / "results" / "slurm.jsonl"
    end = End(
        state="COMPLETED", node="n1", partition="gpu", held_seconds=40, limit_seconds=300, cpus=2, gpus=1, used_mb=400
    )
    Accounts(path).add(submission(tmp_path, 0), "7", end)
    (row,) = read(path)
    assert (row["job"], row["state"], row["reason"], row["log"]) == ("7", "COMPLETED", "", "logs/slurm/7.log")
    assert (row["asked_seconds"], row["held_seconds"], row["used_seconds"]) == (300, 40, 24.7)
    assert (row["asked_mb"], row["used_mb"], row["attempt"]) == (500, 400, 2)


def test_a_failed_job_says_why(tmp_path):
    path = tmp_path / "slurm.jsonl"
    Accounts(path).add(submission(tmp_path, 1), "7", End(state="FAILED"))
    (row,) = read(path)
    assert row["reason"] == "baldro train: forget loss is NaN at step 3"
    assert row["used_seconds"] is None


def test_why_a_job_failed_is_read_before_its_next_attempt_writes_over_it(tmp_path):
    path, failed = tmp_path / "slurm.jsonl", submission(tmp_path, 1)
    assert failed.last_words(0) == "baldro train: forget loss is NaN at step 3"  # when its end is seen
    (tmp_path / "run.log").write_text("step 1/4\n")
    Accounts(path).add(failed, "7", End(state="FAILED"))
    (row,) = read(path)
    assert row["reason"] == "baldro train: forget loss is NaN at step 3"


def test_a_job_has_one_line_and_a_line_cut_short_is_written_again(tmp_path):
    path = tmp_path / "slurm.jsonl"
    done = submission(tmp_path, 0)
    Accounts(path).add(done, "7", End(state="COMPLETED"))
    accounts = Accounts(path)
    accounts.add(done, "7", End(state="COMPLETED"))
    accounts.add(done, "8", End(state="COMPLETED"))
    assert [row["job"] for row in read(path)] == ["7", "8"]
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    Accounts(path).add(done, "8", End(state="COMPLETED"))
    assert [row["job"] for row in read(path)] == ["7", "8"]
