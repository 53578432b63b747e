"""What the logger says of jobs on a cluster: groups that run as one, what failed for good, what a dry run would submit.

A stand-in for the cluster runs the jobs of the real Snakemake here and reports failures as the SLURM executor does.
"""

import dataclasses
import json
import logging
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from types import SimpleNamespace

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("snakemake")

from baldro.analysis.cluster import failed_as, read_jobs, stage
from snakemake_logger_plugin_baldro.failures import Failure, failure_lines, summary, tried_again
from snakemake_logger_plugin_baldro.jobs import Jobs, in_order
from snakemake_logger_plugin_baldro.lines import read_job
from snakemake_logger_plugin_baldro.logs import own_error
from snakemake_logger_plugin_baldro.submissions import JobRequest, submissions_line

from .conftest import ROOT, python_path

EXECUTOR = """
import json, subprocess
from pathlib import Path
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
from snakemake_interface_executor_plugins.settings import CommonSettings

common_settings = CommonSettings(
    job_deploy_sources=False, non_local_exec=True, implies_no_shared_fs=False, pass_envvar_declarations_to_cmd=True,
    auto_deploy_default_storage_provider=False, init_seconds_before_status_checks=0,
)


class Executor(RemoteExecutor):
    def __post_init__(self):
        self.processes, self.states = {}, json.loads(Path("states.json").read_text())

    def run_job(self, job):
        info = SubmittedJobInfo(job, external_jobid=str(812 + len(self.processes)))
        command = self.format_job_exec(job)
        self.processes[info.external_jobid] = subprocess.Popen(command, shell=True, stdout=-3, stderr=-3)
        self.report_job_submission(info)

    async def check_active_jobs(self, active_jobs):
        for info in active_jobs:
            job, number = info.job, info.external_jobid
            status = self.processes[number].poll()
            run = (next(iter(job)) if job.is_group() else job).wildcards.run
            if status is None:
                yield info
            elif status == 0:
                Path(self.states.get(run, {}).get("lost", "nothing")).unlink(missing_ok=True)
                self.report_job_success(info)
            else:
                told = {"job": number, "log": str(Path(f"logs/slurm/{number}.log").absolute())} | self.states[run]
                self.report_job_error(SubmittedJobInfo(job), msg=told["reason"] + "\\n", slurm=told)

    def cancel_jobs(self, active_jobs):
        for info in active_jobs:
            self.processes[info.external_jobid].kill()
"""
SNAKEFILE = """
rule all:
    input: expand("done/{run}.txt", run=["good", "big", "late", "bad", "gone"]), "report.txt", "tuned/x.txt"
    localrule: True
rule finetune:
    output: "tuned/{run}.txt"
    log: "logs/finetune/{run}.log"
    shell: "echo 'baldro train: x has nothing to learn' > {log}; exit 2"
rule unlearn:
    output: temp("model/{run}.txt")
    log: "logs/unlearn/{run}.log"
    resources: runs_per_job=2
    shell: "echo learnt > {log}; [ {wildcards.run} != big ] && touch {output}"
rule score:
    input: "model/{run}.txt"
    output: "done/{run}.txt"
    log: "logs/score/{run}.log"
    resources: runs_per_job=2
    shell:
        "if [ {wildcards.run} = late ] && [ ! -e tried ]; then touch tried; exit 1; fi; "
        "echo 'baldro score: no row of {wildcards.run}' > {log}; [ {wildcards.run} != bad ] && touch {output}"
rule report:
    output: "report.txt"
    log: "logs/report.log"
    localrule: True
    shell: "(echo start; echo 'baldro report: nothing to report'; echo end) > {log}; exit 2"
onerror:
    shell("echo the table")
"""
STATES = {
    "big": {"state": "OUT_OF_MEMORY", "node": "n2", "reason": "out of memory: asked 400 MB, used 399 MB"},
    "late": {"state": "NODE_FAIL", "node": "n11", "reason": "node n11 was lost"},
    "bad": {"state": "FAILED", "node": "n1", "reason": "baldro score: no row of bad"},
    "x": {"state": "FAILED", "node": "", "reason": "baldro train: x has nothing to learn"},
    "gone": {"lost": "done/gone.txt"},
}
OPTIONS = [
    *("--logger", "baldro", "--executor", "baldro-slurm", "--jobs", "9", "--groups", "unlearn=run", "score=run"),
    *("--default-resources", "mem_mb=300", "--latency-wait", "1", "--seconds-between-status-checks", "1"),
    *("--max-status-checks-per-second", "10", "--keep-going", "--keep-incomplete"),
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A folder with the workflow, and a function that runs Snakemake in it; it returns the lines of both streams."""
    folder = tmp_path_factory.mktemp("cluster")
    plugin = folder / "plugins" / "snakemake_executor_plugin_baldro_slurm"  # in place of the real one
    plugin.mkdir(parents=True)
    (plugin / "__init__.py").write_text(EXECUTOR)
    (folder / "Snakefile").write_text(SNAKEFILE)
    (folder / "states.json").write_text(json.dumps(STATES))
    env = os.environ | {"PYTHONPATH": f"{folder / 'plugins'}{os.pathsep}{python_path(ROOT)}", "NO_COLOR": "1"}

    def snakemake(*options: str, code: int = 0) -> list[str]:
        command = [sys.executable, "-m", "snakemake", *OPTIONS, *options]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        done = subprocess.run(command, cwd=folder, env=env, timeout=600, **streams)
        assert done.returncode == code, done.stdout
        return done.stdout.splitlines()

    return folder, snakemake


@pytest.fixture(scope="module")
def ended(cluster):
    """What a run of two attempts a job prints; five groups of two jobs, one job alone, one on this machine."""
    return cluster[1]("--retries", "1", code=1)


@pytest.mark.processes
def test_a_group_is_one_line_that_counts_its_jobs(ended):
    done = [re.fullmatch(r"\[ *(\d+)/13\] (\S+) +(\w+) +\d+\.\d s(   about .* left)?", line) for line in ended]
    found = [match.groups()[:3] for match in done if match]
    assert sorted(name for *_, name in found) == ["good", "late"]
    assert [(int(n), rule) for n, rule, _ in found] == [(2, "unlearn+score"), (4, "unlearn+score")]


@pytest.mark.processes
def test_a_failed_group_is_one_failure_and_is_tried_again_as_one(ended):
    failed = Counter(line.split("  (")[0] for line in ended if line.startswith("FAILED"))
    once, twice = {"unlearn+score  run=late": 1}, dict.fromkeys(["big", "bad", "gone"], 2)
    expected = once | {f"unlearn+score  run={run}": n for run, n in twice.items()} | {"finetune  run=x": 2, "report": 2}
    assert failed == {f"FAILED  {name}": n for name, n in expected.items()}
    again = sorted(line for line in ended if line.startswith("again"))
    assert again == sorted(f"again   {name}" for name in expected)


@pytest.mark.processes
def test_a_failure_says_at_once_what_slurm_said_without_the_executors_boilerplate(ended, cluster):
    folder, _ = cluster
    at = next(n for n, line in enumerate(ended) if line.startswith("FAILED  unlearn+score  run=bad"))
    assert re.search(r"\(after \d+\.\d s, SLURM job \d+ FAILED on n1\)$", ended[at])
    assert ended[at + 1] == "    baldro score: no row of bad"
    assert ended[at + 2 : at + 4] == [f"    log: {folder}/logs/{rule}/bad.log" for rule in ("score", "unlearn")]
    assert ended[at + 5] == "    | baldro score: no row of bad"  # of the job that wrote last
    assert not any("For further error details" in line or "keep-incomplete" in line for line in ended)


@pytest.mark.processes
def test_the_end_tells_what_failed_for_good_after_all_else_and_what_was_done_at_last(ended):
    at = ended.index("failed for good: 5 (8 jobs)")
    assert ended[at - 1] == "1 job was tried again: 1 node lost"
    assert "the table" in ended[: at - 1]
    assert re.fullmatch(r"4 of 13 jobs done, 8 failed, 1 not run, after (\d+\.\d s|\d+:\d\d)", ended[-1])
    told = [re.sub(r"\d+\.log|job \d+", "N", line) for line in ended[at + 1 : -1]]
    entries = {told[n].split()[0] + told[n][-5:]: told[n + 1].split() for n in range(1, len(told), 3)}
    heads = {line.strip() for line in told[::3]}
    assert heads == {
        "1 x out of memory: asked 400 MB, used 399 MB",
        "1 x baldro score: no row of bad",
        "1 x baldro train: x has nothing to learn",
        "1 x baldro report: nothing to report",
        "1 x completed successfully, but some output files are missing.",
    }
    assert ["N", "OUT_OF_MEMORY", "n2", "logs/slurm/N", "2", "attempts"] in entries.values()
    assert ["N", "FAILED", "n1", "logs/slurm/N", "2", "attempts"] in entries.values()
    assert ["N", "FAILED", "logs/slurm/N", "2", "attempts"] in entries.values()
    assert ["logs/report.log", "2", "attempts"] in entries.values()  # ran here
    assert not any("late" in line for line in told)


@pytest.mark.processes
def test_a_dry_run_counts_submissions(cluster):
    _, snakemake = cluster
    *lines, counted, last = snakemake("--dry-run", "--forceall")
    assert last == "dry run: nothing was run"
    assert lines[-1].split() == ["total", "13"]
    sent = "4 submissions to SLURM: 3 of unlearn+score (up to 2 runs each), 1 other"
    assert counted == f"at least {sent}; 1 job stays on this machine"


def test_a_dry_run_of_the_workflow_counts_submissions(fresh, tmp_path):
    pytest.importorskip("snakemake_executor_plugin_slurm")
    folder = tmp_path / "checkout"
    shutil.copytree(fresh.folder, folder)
    checkout = dataclasses.replace(fresh, folder=folder)
    model = {"build": {"vocab_size": 400, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}}
    stage = {"lr": "2e-3", "epochs": 1}
    nano = model | {"pretrain": stage, "finetune": stage, "needs": {"runs_per_job": 3}}
    nano["build"]["intermediate_size"] = 32
    config = checkout.write("packs.yaml", models={"nano": nano}, seed=[0, 1, 2, 3], variant="base")
    options = ["--dry-run", "--groups", "unlearn=run", "score=run"]
    for where in ([], ["--profile", "workflow/profiles/slurm"]):
        said = checkout.snakemake(config, *where, *options)
        # 3 finetune, 1 reference; four runs in packs of 3 and 1; scoring of Original and Retain, which are no runs, in one
        line = "at least 7 submissions to SLURM: 2 of unlearn (up to 3 runs each), 1 of score (2 runs each), 4 others"
        assert f"{line}; 9 jobs stay on this machine" in (said.stdout + said.stderr).splitlines()
    plain = checkout.snakemake(config, "--dry-run")
    assert "SLURM" not in plain.stdout + plain.stderr


def failure(run: str, state: str = "", reason: str = "baldro train: loss is NaN at step 12", **more) -> Failure:
    where = {"job": "812", "node": "n2", "state": state} if state else {}
    return Failure(**{"rule": "unlearn+score", "label": run, "reason": reason, "log": f"logs/{run}.log"} | where | more)


def test_of_fifty_failures_twenty_are_shown_and_every_reason_keeps_its_share():
    run = "tofu--llama-2-7b-chat--forget10--npo--baldro-dv--lr=1e-05--epochs=10--seed={}"
    big = [
        [failure(run.format(i), "OUT_OF_MEMORY", f"out of memory: asked {i} MB, used {i - 1} MB")] for i in range(45)
    ]
    nan = [[failure(run.format(i), "FAILED", f"baldro train: {run.format(i)}: NaN at step {i}.")] for i in range(5)]
    lines = failure_lines(nan + big)
    assert lines[0] == "failed for good: 50"
    assert lines[1] == "  45 x out of memory, of which the first 15"
    assert "  5 x baldro train: ...: NaN at step ..." in lines
    shown = [line for line in lines if line.startswith("    unlearn+score  tofu")]
    assert len(shown) == len(set(shown)) + 5 == 20  # five runs failed in both ways
    assert "        job 812  OUT_OF_MEMORY  n2" in "\n".join(lines)
    assert all(len(line) <= 100 or run[:20] in line for line in lines)
    assert any(line.endswith("asked 3 MB, used 2 MB") for line in lines)


def test_a_reason_that_is_the_same_for_all_is_told_once():
    lines = failure_lines([[failure("a")], [failure("b"), failure("b")]])
    assert sum("loss is NaN at step 12" in line for line in lines) == 1
    assert lines[1] == "  2 x baldro train: loss is NaN at step 12"
    assert lines[3:6:2] == ["        logs/a.log", "        logs/b.log  2 attempts"]


@given(st.lists(st.sampled_from(["OUT_OF_MEMORY", "TIMEOUT", "NODE_FAIL", "FAILED", ""]), min_size=1, max_size=60))
def test_every_failure_is_counted_once(states):
    attempts = [[failure(f"r{i}", state, reason=f"words {i}")] for i, state in enumerate(states)]
    lines = failure_lines(attempts)
    assert lines[0] == f"failed for good: {len(states)}"
    counts = [int(match[1]) for line in lines if (match := re.match(r"  (\d+) x ", line))]
    assert sum(counts) == len(states)
    assert sorted(counts, reverse=True) == counts
    assert sum(line.startswith("    unlearn+score  ") for line in lines) == min(20, len(states))


def test_where_nothing_failed_nothing_is_said():
    assert summary([], []) == []


def test_jobs_that_were_done_at_last_are_counted_by_reason():
    late = failure("c", "NODE_FAIL", "node n2 was lost")
    memory = [failure(run, "OUT_OF_MEMORY", "out of memory: asked 1 MB") for run in "ab"]
    limit = failure("a", "FAILED", "stopped ahead of the time limit of 60 min")
    attempts = [[memory[0], limit], [memory[1]], [late]]
    assert tried_again(attempts) == "3 jobs were tried again: 2 out of memory, 1 time limit, 1 node lost"


@given(st.permutations(["unlearn", "score", "judge"]))
def test_jobs_of_a_group_stand_in_the_order_in_which_they_run(order):
    files = {"unlearn": ([], ["model"]), "score": (["model"], ["samples"]), "judge": (["samples", "model"], [])}
    ids = dict(zip(order, (5, 2, 9), strict=True))
    jobs = [SimpleNamespace(jobid=ids[rule], input=files[rule][0], output=files[rule][1]) for rule in order]
    assert in_order(jobs) == tuple(ids[rule] for rule in ("unlearn", "score", "judge"))


def test_the_time_left_counts_a_groups_time_once():
    """A job of 10 s, then one group of 10 s: another such group takes 10 s."""
    jobs = Jobs()
    jobs.planned.update(finetune=1, unlearn=2, score=2)
    jobs.total = 5

    def record(seconds: float, rule: str = "job") -> logging.LogRecord:
        return logging.makeLogRecord({"created": seconds, "rule_name": rule, "output": ["x"]})

    jobs.start(0, read_job(record(0.0, "finetune")))
    jobs.finish(0, record(10.0))
    jobs.add_group([SimpleNamespace(jobid=i, input=[], output=[]) for i in (1, 2)])
    assert not jobs.start(1, read_job(record(10.0, "unlearn")))
    assert jobs.start(2, read_job(record(10.0, "score")))  # now the whole group is known
    for jobid in (1, 2):
        jobs.finish(jobid, record(20.0))
    assert [(job.rule, seconds) for job, seconds in jobs.count()] == [("finetune", 10.0), ("unlearn+score", 10.0)]
    assert jobs.progress() == "[3/5]"
    assert jobs.seconds_left(20.0) == pytest.approx(10.0)


def asked(rule: str, what: str = "", runs_per_job: int = 1) -> JobRequest:
    return JobRequest(rule=rule, what=(("mem_mb", what),), runs_per_job=runs_per_job)


def test_submissions_of_the_example():
    group = [asked("unlearn", "1", 8), asked("score", "1", 8)]
    line = submissions_line([group] * 256, [asked("finetune")] * 9, 12)
    sent = "41 submissions to SLURM: 32 of unlearn+score (8 runs each), 9 others"
    assert line == f"at least {sent}; 12 jobs stay on this machine"
    unpacked = submissions_line([[asked("unlearn"), asked("score")]], [], 0)
    assert unpacked == "1 submission to SLURM: 1 of unlearn+score"


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([1, 2, 3])), min_size=1, max_size=30), st.integers(0, 9)
)
def test_submissions_pack_what_is_alike(runs, alone):
    groups = [[asked("unlearn", what, n), asked("score", what, n)] for what, n in runs]
    line = submissions_line(groups, [asked("finetune", str(i)) for i in range(alone)], 0)
    packs = 0
    for what, n in set(runs):  # one pack after the other, as an executor would
        left = runs.count((what, n))
        while left > 0:
            left, packs = left - n, packs + 1
    assert int(re.search(r"(\d+) submission", line)[1]) == packs + alone


def test_the_report_reads_what_the_executor_writes(tmp_path):
    pytest.importorskip("snakemake_executor_plugin_slurm")
    from snakemake_executor_plugin_baldro_slurm import accounts, slurm, submission

    run = "few--nano--forget10--npo"
    member = submission.Member(specs={}, rules=["unlearn", "score"], runs=[run], logs=[], benchmarks=[])
    asked_for = dict(log="logs/slurm/%j.log", attempt=1, gpus=1, cpus=2, mem_mb=4000, minutes=60, members=[member])
    sent = submission.Submission(folder=tmp_path / "baldro-1", **asked_for)
    sent.folder.mkdir()
    (sent.folder / "stopped").write_text("USR1")
    cut_off = slurm.End(state="FAILED", held_seconds=9, limit_seconds=3600)
    ends = {"812": cut_off, "813": None}  # None: of a cluster that keeps no accounts
    lines = [json.dumps(accounts.line(sent, job, end)) + "\n" for job, end in ends.items()]
    (tmp_path / "slurm.jsonl").write_text("".join(lines))
    frame = pd.DataFrame({"id": [run], "benchmark": ["few"], "model": ["nano"]})
    first, second = read_jobs(tmp_path, frame)
    assert (stage(first), failed_as(first), first["used_mb"]) == ("unlearn + score", "time limit", None)
    assert failure(run, first["state"], first["reason"]).kind == "time limit"
    assert (second["job"], second["state"], failed_as(second)) == ("813", "UNKNOWN", "time limit")


def test_the_programs_own_error_is_its_last_line_of_that_kind_else_the_logs_last_line(tmp_path):
    first, second = tmp_path / "a.log", tmp_path / "b.log"
    first.write_text("baldro train: one\nbaldro train: two\nand an end\n")
    second.write_text("baldro: not of a verb\nTraceback\n")
    assert own_error([first, second]) == own_error([second, first]) == "baldro train: two"
    assert own_error([second]) == "Traceback"
    assert own_error([tmp_path / "none.log"]) == ""
