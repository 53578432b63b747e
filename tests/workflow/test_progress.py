"""The logger plugin, on tiny workflows run by the real Snakemake."""

import io
import logging
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("snakemake")

from snakemake_logger_plugin_baldro import LogHandler
from snakemake_logger_plugin_baldro.failures import Failure, is_interruption
from snakemake_logger_plugin_baldro.lines import duration, error_message, last_line, make_say, read_job, seconds_left
from snakemake_logger_plugin_baldro.logs import log_tail

from .conftest import ROOT, python_path

TRAIN = """
rule all:
    input: expand("out/{run}.txt", run=["a--npo", "b", "c--simnpo", "d"])
rule prepare:
    output: "data.txt"
    shell: "touch {output}"
rule train:
    input: "data.txt"
    output: "out/{run}.txt"
    shell: "sleep 0.4; touch {output}"
"""
FAIL = """
rule all:
    input: expand("out/{run}.txt", run=["good", "bad"]), "late.txt"
rule train:
    output: "out/{run}.txt"
    log: "logs/{run}.log"
    shell: "(seq 9; echo; echo 'baldro: loss is NaN at step 12'; [ {wildcards.run} = good ]; touch {output}) > {log}"
rule late:
    input: "out/bad.txt"
    output: "late.txt"
    shell: "touch {output}"
rule loud:
    output: "loud.txt"
    shell: "exit 3"
"""
GROW = """
rule all:
    input: "all.txt"
checkpoint split:
    output: directory("parts")
    retries: 1
    shell: "[ -e tried ] || (touch tried; exit 1); mkdir {output}; touch {output}/1 {output}/2"
rule part:
    input: "parts/{i}"
    output: "done/{i}"
    shell: "touch {output}"
def parts(wildcards):
    checkpoints.split.get()
    return ["done/1", "done/2"]
rule collect:
    input: parts
    output: "all.txt"
    shell: "touch {output}"
"""


def command(*options: str) -> list[str]:
    return [sys.executable, "-m", "snakemake", "--logger", "baldro", "-c2", *options]


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    return kept | {"PYTHONPATH": python_path(ROOT)} | more


def run(folder: Path, snakefile: str, *options: str, code: int = 0) -> list[str]:
    """The lines that Snakemake prints, both streams together."""
    (folder / "Snakefile").write_text(snakefile)
    process = subprocess.run(
        command(*options), cwd=folder, env=environment(), stdout=-1, stderr=subprocess.STDOUT, text=True, timeout=300
    )
    assert process.returncode == code, process.stdout
    assert "\x1b" not in process.stdout
    return process.stdout.splitlines()


def run_in_terminal(folder: Path, snakefile: str) -> str:
    """What Snakemake prints to a terminal."""
    (folder / "Snakefile").write_text(snakefile)
    master, slave = pty.openpty()
    env = environment(TERM="xterm-256color")
    with subprocess.Popen(command(), cwd=folder, env=env, stdout=slave, stderr=slave) as process:
        os.close(slave)
        output = b""
        try:
            while chunk := os.read(master, 4096):
                output += chunk
        except OSError:  # Linux's end of file of a terminal
            pass
        os.close(master)
    assert process.returncode == 0, output
    return output.decode().replace("\r\n", "\n")


def test_a_run_is_one_line_per_job_between_a_first_and_a_last_then_nothing_is_to_be_done(tmp_path):
    first, *jobs, last = run(tmp_path, TRAIN)
    assert first == "6 jobs: 1 prepare, 4 train, 1 all"
    assert len(jobs) == 5  # `all` does nothing and gets no line
    assert re.fullmatch(r"\[1/6\] prepare {2,}\d+\.\d s", jobs[0])  # too little is known to estimate
    for n, line in enumerate(jobs[1:4], start=2):
        assert re.fullmatch(rf"\[{n}/6\] train  {{2,}}(a--npo|b|c--simnpo|d) {{2,}}\d+\.\d s   about \d+ s left", line)
    assert re.fullmatch(r"\[5/6\] train  {2,}(a--npo|b|c--simnpo|d) {2,}\d+\.\d s", jobs[4])  # only `all` is left
    assert re.fullmatch(r"6 of 6 jobs done in \d+\.\d s", last)
    assert "Select jobs to execute" in next((tmp_path / ".snakemake" / "log").iterdir()).read_text()
    assert run(tmp_path, TRAIN) == ["Nothing to be done (all requested files are present and up to date)."]


@pytest.mark.parametrize(
    ("wildcards", "label"),
    [
        ({"run": "a--npo"}, "a--npo"),
        ({"run": "a--original", "kind": ""}, "a--original"),
        ({"run": "a--original", "kind": "-idk"}, "a--original-idk"),
        ({"model": "llama", "part": "target"}, "llama target"),
        ({}, ""),
    ],
)
def test_jobs_that_differ_in_any_wildcard_have_different_lines(wildcards, label):
    assert read_job(logging.makeLogRecord({"rule_name": "reference", "wildcards": wildcards})).label == label


def test_a_failure_shows_the_log_and_its_end_and_the_other_jobs_go_on(tmp_path):
    lines = run(tmp_path, FAIL, "--keep-going", code=1)
    assert lines[0] == "4 jobs: 2 train, 1 late, 1 all"
    at = next(n for n, line in enumerate(lines) if line.startswith("FAILED"))
    assert re.fullmatch(r"FAILED  train  run=bad  \(after \d+\.\d s, exit status 1\)", lines[at])
    end = ["8", "9", "baldro: loss is NaN at step 12"]
    assert lines[at + 1 : at + 5] == [f"    log: {tmp_path}/logs/bad.log", *(f"    | {line}" for line in end)]
    assert re.fullmatch(r"1 of 4 jobs done, 1 failed, 2 not run, after \d+\.\d s", lines[-1])
    told = ["failed for good: 1", "  1 x baldro: loss is NaN at step 12", "    train  bad", "        logs/bad.log"]
    assert lines[-5:-1] == told
    assert len(lines) == 12  # and one finished job: no stack trace, no boilerplate


def test_a_line_says_which_stage_is_trained(tmp_path):
    """A rule trains several, and Snakemake's name is the rule's."""
    runs = ["few--nano--base--pretrain", "few--nano--forget10--npo--relearn", "no-id"]
    snakefile = f"""
rule all:
    input: expand("out/{{run}}.txt", run={runs})
rule trained:
    output: "out/{{run}}.txt"
    shell: "[ {{wildcards.run}} != {runs[0]} ]; touch {{output}} # baldro train --run"
"""
    lines = run(tmp_path, snakefile, "--keep-going", code=1)
    assert [line.split()[:2] for line in lines if line.startswith("FAILED")] == [["FAILED", "pretrain"]]
    assert {tuple(line.split()[1:3]) for line in lines if line.startswith("[")} == {
        ("relearn", runs[1]),
        ("trained", "no-id"),
    }
    assert f"    pretrain  {runs[0]}" in lines


def test_ctrl_c_is_no_failure(tmp_path):
    """Neither of a job that ends of it as `baldro` does, nor of one that Snakemake ends then; another's failure is one still."""
    snakefile = """
rule all:
    input: expand("{i}.txt", i=["one", "two", "bad"])
rule job:
    output: "{i}.txt"
    log: "{i}.log"
    shell: "touch {log}; sleep 0.3; [ {wildcards.i} != bad ] || exit 3; trap 'exit 130' INT; while :; do sleep 0.1; done"
"""
    (tmp_path / "Snakefile").write_text(snakefile)
    process = subprocess.Popen(
        command("--keep-going", "-c3"), cwd=tmp_path, env=environment(), stdout=-1, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip
    said = ""
    while "FAILED" not in said:
        said += process.stdout.readline()
    os.killpg(process.pid, signal.SIGINT)
    said += process.communicate(timeout=60)[0]
    assert process.returncode == 1
    assert len(re.findall(r"^interrupted  job  i=(?:one|two)  \(after \d+\.\d s\)$", said, re.MULTILINE)) == 2, said
    assert "failed for good: 1\n" in said and "130" not in said
    assert re.search(r"0 of 4 jobs done, 1 failed, 2 interrupted, 1 not run, after", said)


@pytest.mark.parametrize(
    ("status", "reason", "state", "is_stopping", "expected"),
    [
        ("exit status 130", "", "", False, True),
        ("died with <Signals.SIGINT: 2>", "", "", False, True),
        ("exit status 2", "baldro train: interrupted by SIGTERM after step 3", "", True, True),
        ("exit status 2", "baldro train: interrupted by SIGTERM after step 3", "", False, False),
        ("", "cancelled", "CANCELLED", True, True),
        ("", "cancelled", "CANCELLED", False, False),
        ("exit status 2", "baldro train: loss is NaN", "", True, False),
    ],
)
def test_what_the_user_interrupted(status, reason, state, is_stopping, expected):
    failure = Failure(rule="unlearn", label="a", reason=reason, log="", state=state)
    assert is_interruption(failure, status=status, is_stopping=is_stopping) == expected


def test_quiet_hides_jobs_but_no_failure_and_a_rule_without_log_shows_its_command(tmp_path):
    first, failed, *details, last = run(tmp_path, FAIL, "loud.txt", "--quiet", code=1)
    assert first == "1 job: 1 loud"
    assert re.fullmatch(r"FAILED  loud  \(after \d+\.\d s, exit status 3\)", failed)
    told = ["failed for good: 1", "  1 x exit status 3", "    loud"]
    assert details == ["    $ exit 3", "    (the rule has no log)", *told]
    assert re.fullmatch(r"of 1 jobs, 1 failed, after \d+\.\d s", last)


def test_a_dry_run_lists_rule_wildcards_reason_and_counts_or_only_counts(tmp_path):
    lines = run(tmp_path, FAIL, "-n")
    counts = ["train  2", "late   1", "all    1", "total  4", "dry run: nothing was run"]
    assert lines[-5:] == counts
    assert lines[lines.index("train  run=bad") + 1] == "    Missing output files: out/bad.txt"
    assert len(lines) == 2 * 4 + 5
    assert run(tmp_path, FAIL, "-n", "--quiet") == counts


def test_missing_output_is_a_failure_though_snakemake_reports_no_failed_job(tmp_path):
    snakefile = 'rule one:\n    output: "one.txt"\n    log: "one.log"\n    shell: "echo said > {log}"'
    lines = run(tmp_path, snakefile, "--latency-wait", "0", code=1)
    assert lines[1].startswith("FAILED  one  (after")
    reason = "  1 x completed successfully, but some output files are missing."
    assert lines[-5:-1] == ["failed for good: 1", reason, "    one", "        one.log"]
    assert f"    log: {tmp_path}/one.log" in lines and "    | said" in lines
    assert lines[-1].startswith("0 of 1 jobs done, 1 failed, after")


def test_a_validation_error_is_one_line(tmp_path):
    snakefile = "from snakemake.exceptions import WorkflowError\nraise WorkflowError('config: epochs is -1, not > 0')"
    assert run(tmp_path, snakefile, code=1) == ["error: config: epochs is -1, not > 0"]


def test_a_retry_is_no_failure_at_the_end_and_a_checkpoint_adds_jobs(tmp_path):
    lines = run(tmp_path, GROW, "--printshellcmds")
    assert lines[0] == "3 jobs: 1 split, 1 collect, 1 all"
    assert [line for line in lines if line.startswith(("FAILED", "again"))][1:] == ["again   split"]
    assert "    $ touch done/1" in lines
    counts = [line.split()[0] for line in lines if line.startswith("[")]
    assert counts == ["[1/3]", "[2/5]", "[3/5]", "[4/5]"]
    assert lines[-1].startswith("5 of 5 jobs done in ")


def test_a_terminal_gets_colour_and_hears_of_jobs_that_may_be_long(tmp_path):
    output = run_in_terminal(tmp_path, TRAIN)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", output).splitlines()
    assert "\x1b[" in output and "\r" not in output  # colour, but no cursor tricks
    assert lines[:2] == ["6 jobs: 1 prepare, 4 train, 1 all", "started prepare"]
    assert any(line.startswith("started train  run=") for line in lines)


@pytest.mark.parametrize(("env", "plain"), [({}, False), ({"NO_COLOR": "1"}, True), ({"TERM": "dumb"}, True)])
def test_colour_is_for_a_terminal_without_no_color(env, plain, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in ({"TERM": "xterm"} | env).items():
        monkeypatch.setenv(name, value)
    terminal, pipe = io.StringIO(), io.StringIO()
    terminal.isatty = lambda: True
    for stream in terminal, pipe:
        make_say(stream, plain=False)(("done", "green"), " [1/2]")
    assert ("\x1b" not in terminal.getvalue()) == plain
    assert pipe.getvalue() == "done [1/2]\n"


@pytest.mark.parametrize("event", [name.removeprefix("on_") for name in vars(LogHandler) if name.startswith("on_")])
def test_a_record_without_attributes_is_no_error(event, capsys):
    off = dict.fromkeys(["dryrun", "printshellcmds", "nocolor", "debug_dag", "verbose", "show_failed_logs"], False)
    handler = LogHandler(SimpleNamespace(quiet=None, stdout=True, **off), None)
    handler.handleError = lambda record: pytest.fail(f"{record.event}: emit raised")
    for each in (event, "job_finished", "progress"):
        handler.emit(logging.makeLogRecord({"event": each, "msg": "", "levelno": logging.INFO}))
    handler.close()
    assert re.search(r"\[[12]/0\] job", capsys.readouterr().out)


def test_seconds_left_divides_the_work_by_the_observed_parallelism():
    finished = {"train": [10.0, 10.0, 10.0, 10.0], "prepare": [5.0]}
    # 6 train jobs x 10 s, of which the 2 running have 4 s behind them; 1 unseen job at the mean, 9 s; 53 s in 26.5 s: 2
    left = seconds_left(
        unfinished={"train": 6, "plot": 1}, finished=finished, running=[("train", 4.0), ("train", 4.0)], elapsed=26.5
    )
    assert left == pytest.approx((60 - 8 + 9) / 2)
    alone = seconds_left(unfinished={"train": 1}, finished=finished, running=[("train", 99.0)], elapsed=26.5)
    assert alone == 0.0  # overdue
    assert seconds_left(unfinished={"train": 4}, finished={"prepare": [5.0]}, running=[], elapsed=5.0) is None
    assert seconds_left(unfinished={}, finished=finished, running=[], elapsed=5.0) is None


def test_durations_are_read_at_a_glance():
    seconds = (0.04, 8.24, 59.97, 80, 3599.6, 3661)
    assert ", ".join(map(duration, seconds)) == "0.0 s, 8.2 s, 1:00, 1:20, 1:00:00, 1:01:01"
    assert [duration(s, 0) for s in (0.4, 59.4, 59.6)] == ["0 s", "59 s", "1:00"]


def test_last_line_counts_what_failed_and_what_did_not_run():
    assert last_line(done=61, failed=0, total=61, seconds=252) == "61 of 61 jobs done in 4:12"
    text = last_line(done=58, failed=1, total=61, seconds=252)
    assert text == "58 of 61 jobs done, 1 failed, 2 not run, after 4:12"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('BaldroError in file "/a/S", line 3:\nnope\n  File "/a/S", line 3, in <module>', "error: nope"),
        ('KeyError in file "/a/S", line 3:\n\'x\'\n  File "/a/S", line 3, in f', "error: KeyError: 'x' (/a/S, line 3)"),
        ("Error: No Snakefile found", "error: No Snakefile found"),
        ("WorkflowError:\none\ntwo", "error: WorkflowError:\none\ntwo"),
        ("", "error: "),
    ],
)
def test_error_message(text, said):
    assert error_message(text) == said


def test_log_tail_reads_what_is_there(tmp_path):
    log = tmp_path / "a.log"
    assert log_tail(log, 3) == []
    log.write_bytes(b"1\n\x1b[31m2\x1b[0m\n\n10%\r20% \xff\n  \n")
    assert log_tail(log, 3) == ["2", "10%", "20% \ufffd"]
    assert log_tail(log, 0) == ["1", "2", "10%", "20% \ufffd"]
