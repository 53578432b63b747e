"""`baldro train` that is asked to stop, killed, frozen and overtaken: real processes end with the weights of an undisturbed one."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from itertools import count
from pathlib import Path

import pytest
import torch

from baldro.cli import main
from baldro.jobs import finished
from baldro.records.finished import SEAL

from .conftest import OUTPUTS, assert_same_run, baldro, files, id_of, names, words

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.processes]
SLOW = """
import sys, time
from baldro.durable.progress import Progress
advance = Progress.advance
def slow(self, **options):
    advance(self, **options)
    time.sleep(0.02)
Progress.advance = slow
from baldro.cli import main
sys.exit(main(sys.argv[1:]))
"""
"""A step takes long enough to be hit."""

# Real processes ------------------------------------------------------------------------------------------------------


class Started:
    """`baldro train` in a process of its own, which a parent has started with SIGUSR1 ignored, as in a SLURM job.

    Args:
        first: a line of Python that comes before.
    """

    def __init__(self, first="", **options):
        command = ["env", "--ignore-signal=USR1", sys.executable, "-c", first + SLOW, *words("train", **options)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.last = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def steps(self, more):
        """Wait until so many steps more are done, or all."""
        for _ in range(more):
            line = self.process.stderr.readline()
            if not line:
                return
            self.last = int(line.partition("  step ")[2].partition("/")[0])

    def hit(self, number):
        self.process.send_signal(number)

    def end(self):
        """Exit code, last line on standard error."""
        _, error = self.process.communicate(timeout=600)
        return self.process.returncode, error.splitlines()[-1] if error else ""

    def caught(self, number):
        """Whether the process has a handler of its own for a signal; and whether torch is in its memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        mask = int(next(line for line in status.splitlines() if line.startswith("SigCgt")).split()[1], 16)
        torch_is_there = "libtorch" in Path(f"/proc/{self.process.pid}/maps").read_text()
        return bool(mask >> (number - 1) & 1), torch_is_there


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (2, 3, 4))])
def test_a_run_that_is_interrupted_again_and_again(made, tmp_path, seed):
    """Asked twice and killed once, in random order, at random steps; more kills: test_killed_at_every_change_of_the_file_system."""
    draw, output = random.Random(seed), tmp_path / "run"
    numbers = [signal.SIGUSR1, signal.SIGTERM, signal.SIGKILL]
    draw.shuffle(numbers)
    for number in numbers:
        with Started(output=output, checkpoint_steps=draw.choice([1, 2, 3]), **made.unlearn) as train:
            train.steps(draw.randint(1, 8))
            time.sleep(draw.random() * 0.05)
            train.hit(number)
            code, said = train.end()
        assert not (output / "run.json").exists()
        if number == signal.SIGKILL:
            assert code == -signal.SIGKILL
            continue
        at = torch.load(output / "checkpoint/state.pt", weights_only=True)["log"]["step"]
        assert code == 2 and at >= train.last
        assert said.startswith(
            f"baldro train: interrupted by {number.name} after step {at}; the checkpoint in {output}"
        )
    with Started(output=output, **made.unlearn) as train:
        train.steps(1)
        assert train.end()[0] == 0 and train.last > 1, "it went on, and did not begin anew"
    assert_same_run(output, made.root / "long")
    assert names(output) == OUTPUTS | {"checkpoint"} and names(output / "checkpoint") == {"finished"}


def test_a_signal_while_the_process_loads(made, tmp_path):
    """Handlers are there before torch is; the signal is obeyed once something can be kept, here nothing."""
    number = signal.SIGUSR1  # which its parent has it ignore
    with Started(output=tmp_path / "run", **made.unlearn) as train:
        caught = torch_is_there = False
        while not caught and train.process.poll() is None:
            time.sleep(0.005)
            caught, torch_is_there = train.caught(number)
        assert not torch_is_there
        train.hit(number)
        code, said = train.end()
    assert code == 2 and said.startswith(f"baldro train: interrupted by {number.name} before training began")
    assert names(tmp_path / "run") == set()


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (2, 3))])
@pytest.mark.parametrize("when", ["finished", "training"])
def test_a_frozen_process_that_wakes_up(made, tmp_path, seed, when):
    """As on a node that was lost and comes back: a newer process has the run, and the older one must not write."""
    draw, output = random.Random(seed), tmp_path / "run"
    options = dict(made.unlearn, output=output, checkpoint_steps=draw.choice([1, 4]), log=tmp_path / "train.log")
    with Started(**options) as older:
        older.steps(draw.randint(2, 15))
        time.sleep(draw.random() * 0.05)
        older.hit(signal.SIGSTOP)
        with Started(**options) as newer:
            if when == "finished":
                assert newer.end()[0] == 0
                before = files(tmp_path)
            else:
                newer.steps(draw.randint(1, 10))
            older.hit(signal.SIGCONT)
            code, said = older.end()
            assert code == 2 and said.startswith(f"baldro train: {output} ") and said.endswith("stops without writing")
            if when == "finished":
                assert files(tmp_path) == before
            else:
                assert f"now belongs to another process on {os.uname().nodename}" in said
                assert f"pid {newer.process.pid};" in said and newer.end()[0] == 0
    assert_same_run(output, made.root / "long")
    assert not list(output.rglob("*.part")) and not (output / ".lease").exists()


def workers(launcher):
    """Process ids by rank, once both processes of a launcher are in the midst of training."""
    found = {}
    while len(found) < 2:
        time.sleep(0.01)
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                status = (folder / "status").read_text()
                ranks = [w for w in (folder / "environ").read_text().split("\0") if w.startswith("RANK=")]
            except OSError:  # gone meanwhile
                continue
            if f"PPid:\t{launcher}\n" in status and ranks:
                found[int(ranks[0].partition("=")[2])] = int(folder.name)
    return found


@pytest.mark.slow
def test_two_devices_stop_together(made, tmp_path):
    """A signal to one of two processes: both end after the same step, and go on from it together."""
    options = words("train", **made.unlearn)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--"]
    script = tmp_path / "slow.py"
    script.write_text(SLOW)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for name, rank in (("undisturbed", None), ("run", 1), ("run", 0), ("run", None)):
        command = [*launcher, str(script), *options, "--output", str(tmp_path / name)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
            while rank is not None and (line := process.stderr.readline()):
                if re.search(r"  step \d*6/", line):
                    os.kill(workers(process.pid)[rank], signal.SIGUSR1)
                    break
            error = process.stderr.read()
        assert (process.returncode == 0) == (rank is None), error
        if rank is not None:
            at = torch.load(tmp_path / "run/checkpoint/state.pt", weights_only=True)["log"]["step"]
            assert f"interrupted by SIGUSR1 after step {at};" in error
            assert f"interrupted by a signal to another device after step {at};" in error
            assert not (tmp_path / "run/run.json").exists()
    assert_same_run(tmp_path / "run", tmp_path / "undisturbed")
    assert not list(tmp_path.rglob(".lease")) and not list(tmp_path.rglob("*.part"))


# Killed at every place -----------------------------------------------------------------------------------------------

CALLS = ("replace", "unlink", "mkdir", "link", "rmdir", "fsync")


def die_before(number):
    """End this process without a word before the file system's so-manieth change."""
    done = count(1)

    def guarded(call):
        def act(*given, **options):
            if next(done) == number:
                os._exit(9)
            return call(*given, **options)

        return act

    for name in CALLS:
        setattr(os, name, guarded(getattr(os, name)))


def forked(arguments, number, log):
    """Run a verb in a child of this process; returns its exit code."""
    child = os.fork()
    if child == 0:
        with open(log, "w") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            if number:
                die_before(number)
            code = main(arguments)
        sys.stdout.flush()
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill_everywhere(root, arguments, stride):
    """In a process of its own, which has loaded torch but done nothing: die at one change after the other, then try again.

    Odd tries lose their outputs in between, as Snakemake deletes them.
    """
    import baldro.jobs.inputs
    import baldro.models
    import baldro.training.loop  # noqa: F401

    for number in count(1, stride):
        output = Path(root) / str(number)
        options = [*arguments, "--output", str(output)]
        if forked(options, number, f"{output}.first.log") == 0:
            return
        kept = finished.place(output)
        left = {
            "outputs": sorted(OUTPUTS & names(output)) if output.is_dir() else [],
            "model": sorted(names(output / "model")) if (output / "model").is_dir() else None,
            "checkpoint": (output / "checkpoint/state.pt").is_file(),
            "finished": (kept / SEAL).is_file(),
        }
        (Path(root) / f"{number}.json").write_text(json.dumps(left))
        for name in finished.OUTPUTS if number % 2 else ():
            finished.remove(output / name)
        assert forked(options, 0, f"{output}.second.log") == 0, Path(f"{output}.second.log").read_text()


@pytest.mark.parametrize(
    ("kind", "stride"),
    [("unlearn", 5), *(pytest.param(kind, 1, marks=pytest.mark.slow) for kind in ("unlearn", "finetune"))],
)
def test_killed_at_every_change_of_the_file_system(made, tmp_path, kind, stride):
    options, undisturbed = {**made.short, "checkpoint_steps": 2}, made.root / "short"
    if kind == "finetune":
        finetune = id_of("finetune", "full", max_steps=2, batch_size=8, lr=0.01)
        options = {**made.given, "start": made.root / "base/model", "run": finetune, "checkpoint_steps": 1}
        undisturbed = tmp_path / "undisturbed"
        assert baldro("train", output=undisturbed, **options) == 0
    code = (
        "import json, sys; from tests.jobs.test_interruption import kill_everywhere as go; go(*json.loads(sys.argv[1]))"
    )
    given = json.dumps([str(tmp_path), words("train", **options), stride])
    done = subprocess.run(
        [sys.executable, "-c", code, given],
        capture_output=True, text=True, timeout=900, env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    killed = sorted(int(path.stem) for path in tmp_path.glob("[0-9]*.json"))
    assert len(killed) > 40 / stride
    restored, safe = 0, False
    for number in killed:
        output, left = tmp_path / str(number), json.loads((tmp_path / f"{number}.json").read_text())
        complete = set(left["outputs"]) == OUTPUTS
        assert complete or "run.json" not in left["outputs"], number
        assert left["model"] in (None, sorted(names(undisturbed / "model"))), number
        kept = left["checkpoint"] or left["finished"] or (complete and kind == "finetune")
        assert kept or not safe, f"{number}: what was done once is never lost again"
        safe = safe or kept
        assert_same_run(output, undisturbed)
        assert names(output) == OUTPUTS | ({"checkpoint"} if kind == "unlearn" else set()), number
        assert kind == "finetune" or names(output / "checkpoint") == {"finished"}
        assert not list(output.rglob("*part")), number
        again = "restored from" in (tmp_path / f"{number}.second.log").read_text()
        assert kind == "finetune" or again == left["finished"], f"{number}: finished once, trained again"
        restored += again
    assert safe and 0 < restored < len(killed)
