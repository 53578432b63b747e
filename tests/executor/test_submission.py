"""A submission's script, run by bash as slurmd runs it: members one after the other, signals, requeues, twins."""

import os
import signal
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from snakemake_executor_plugin_baldro_slurm.submission import Member, Submission, new_name, read_all

MEMBER = Member(specs={"unlearn run=a": "1"}, rules=["unlearn"], runs=["a"], logs=[], benchmarks=[])


def make(tmp_path: Path, *commands: str) -> Submission:
    members = [MEMBER for _ in commands]
    asked = dict(attempt=1, gpus=1, cpus=1, mem_mb=500, minutes=5)
    made = Submission(folder=tmp_path / "all of them" / new_name(), log="logs/%j.log", members=members, **asked)
    made.write(commands, workdir=tmp_path)
    return made


def start(submission: Submission, job: str = "7", restarts: int = 0) -> subprocess.Popen:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "SLURM_JOB_ID": job, "SLURM_RESTART_COUNT": str(restarts)}
    command = ["bash", submission.folder / "script.sh"]
    return subprocess.Popen(command, env=environment, start_new_session=True)  # a group of its own, as slurmstepd makes


def statuses(submission: Submission) -> list[int | None]:
    return [submission.exit_status(i) for i in range(len(submission.members))]


def test_every_member_runs_and_leaves_its_status(tmp_path):
    made = make(tmp_path, "echo \"it's\" > 'a b'", "exit 3", "sh -c 'exit 0'")
    assert start(made).wait(300) == 3
    assert statuses(made) == [0, 3, 0]
    assert (tmp_path / "a b").read_text() == "it's\n"
    assert made.job() == "7"


FORK = """python3 -c "
import os, sys, time
from baldro import warm
while not os.path.exists(os.environ['BALDRO_WARM']):
    time.sleep(0.1)
open('place', 'w').write(os.environ['BALDRO_WARM'])
sys.exit(warm.run(['metrics', '--help']) != 0)
"
"""


def test_the_members_of_a_pack_are_forks_of_one_process_that_ends_with_them(tmp_path):
    made = make(tmp_path, FORK, FORK)
    assert start(made).wait(300) == 0
    assert statuses(made) == [0, 0]
    folder = Path((tmp_path / "place").read_text()).parent
    deadline = time.monotonic() + 60
    while folder.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_single_member_has_no_such_process(tmp_path):
    assert start(make(tmp_path, 'test -z "$BALDRO_WARM"')).wait(60) == 0


def test_what_was_done_before_a_requeue_is_not_done_again(tmp_path):
    made = make(tmp_path, "echo x >> first", "echo x >> second")
    (made.folder / "0.exit").write_text("0 0\n")
    (made.folder / "turn").write_text("0\n")
    (made.folder / "stopped").write_text("TERM\n")
    assert start(made, restarts=1).wait(60) == 0
    assert statuses(made) == [0, 0]
    assert not (tmp_path / "first").exists() and (tmp_path / "second").exists()
    assert made.stopped() == ""


def test_what_an_earlier_turn_says_after_the_next_has_begun_counts_for_nothing(tmp_path):
    """A node that was lost and lives on: its processes end later than the requeued job starts."""
    made = make(tmp_path, "[ -e second ] || { touch first; sleep 1; exit 0; }; sleep 2; exit 3")
    lost = start(made)
    while not (tmp_path / "first").exists():
        time.sleep(0.01)
    (tmp_path / "second").touch()
    again = start(made, restarts=1)
    assert lost.wait(60) == 0
    assert not (made.folder / "0.exit").exists() and statuses(made) == [None]
    assert again.wait(60) == 3
    assert statuses(made) == [3]


def test_a_lost_turn_does_not_go_on_with_the_next_member(tmp_path):
    made = make(tmp_path, "touch first; sleep 1", "echo x >> second")
    lost = start(made)
    while not (tmp_path / "first").exists():
        time.sleep(0.01)
    (made.folder / "turn").write_text("1\n")
    assert lost.wait(60) == 0
    assert not (tmp_path / "second").exists()


def test_an_end_that_comes_while_a_signal_is_handled_is_not_taken_for_the_signal(tmp_path):
    """bash gives the signal's number for a `wait` that it cut short, even if the child ends before it is looked at again."""
    made = make(tmp_path, "touch ready; sleep 0.5")
    script = made.folder / "script.sh"
    script.write_text(script.read_text().replace("    stopping=$1\n", "    sleep 1\n    stopping=$1\n"))
    process = start(made)
    while not (tmp_path / "ready").exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGUSR1)
    process.wait(60)
    assert statuses(made) == [0]


def test_a_twin_does_nothing(tmp_path):
    made = make(tmp_path, "echo x >> done; sleep 1")
    first = start(made, "7")
    while made.job() is None:
        time.sleep(0.01)
    assert start(made, "8").wait(60) == 0
    assert first.wait(60) == 0
    assert (made.job(), (tmp_path / "done").read_text()) == ("7", "x\n")


TRAINING = """exec python3 -c "
import signal, sys, time
def leave(number, frame):
    open('told', 'a').write(signal.Signals(number).name + ' ')
    time.sleep(0.3)
    open('checkpoint', 'w').write('whole')
    sys.exit(2)
signal.signal(signal.SIGUSR1, leave); signal.signal(signal.SIGTERM, leave)
open('ready', 'w').close()
time.sleep(30)
"
"""


@pytest.mark.parametrize("name", ["USR1", "TERM"])
def test_a_signal_to_the_script_alone_reaches_the_program_and_its_end_is_waited_for(tmp_path, name):
    made = make(tmp_path, TRAINING, "echo x >> second")
    process = start(made)
    while not (tmp_path / "ready").exists():
        time.sleep(0.01)
    process.send_signal(getattr(signal, f"SIG{name}"))
    assert process.wait(60) == 1
    assert (tmp_path / "told").read_text() == f"SIG{name} "
    assert (tmp_path / "checkpoint").read_text() == "whole"
    assert statuses(made) == [None, None]  # cut off, not ended: a requeue begins with it
    assert made.stopped() == name and not (tmp_path / "second").exists()


def test_who_has_no_handler_outlives_the_warning(tmp_path):
    made = make(tmp_path, "touch ready; sleep 1; echo x > done")
    process = start(made)
    while not (tmp_path / "ready").exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGUSR1)
    process.wait(60)
    assert statuses(made) == [0] and (tmp_path / "done").exists()


def test_a_folder_is_read_back(tmp_path):
    made = make(tmp_path, "true", "false")
    assert read_all(made.folder.parent) == [made]
    (made.folder / "submission.json").rename(made.folder / "submission.part")  # killed before it was whole
    assert read_all(made.folder.parent) == []


def test_a_gone_job_is_given_up(tmp_path):
    made = make(tmp_path, "true", "true")
    (made.folder / "0.exit").write_text("0 0\n")
    (made.folder / "turn").write_text("0\n")
    made.give_up()
    assert (made.is_seen(0), made.is_seen(1), made.is_settled()) == (False, True, False)
    made.see(0)
    assert made.is_settled()


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({"gpu": 4, "nodes": 1}, "--gpus=4"),
        ({"gpu": 4, "nodes": 2}, "--gpus-per-node=4 --ntasks=2 --ntasks-per-node=1"),
        ({"gpu": 2, "nodes": 3, "gpu_model": "a100"}, "--gpus-per-node=a100:2 --ntasks=3 --ntasks-per-node=1"),
        ({"gpu": 0, "nodes": 2}, "--ntasks=2 --ntasks-per-node=1"),
    ],
)
def test_several_nodes_hold_as_many_gpus_each(resources, expected):
    jobs = pytest.importorskip("snakemake_executor_plugin_baldro_slurm.jobs")
    assert jobs.held(SimpleNamespace(resources=resources)).strip() == expected
