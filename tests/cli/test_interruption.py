"""`baldro train` that is asked to stop, killed, frozen and overtaken: real processes end with the weights of an undisturbed one."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from baldro.cli import finished, main
from baldro.grid import Run

from .conftest import BENCHMARK, PRETRAIN, TINY, baldro, id_of, words

pytestmark = pytest.mark.usefixtures("one_thread")
TIMES = ["tokens_per_second", "seconds"]
SLOW = """
import sys, time
from baldro.progress import Progress
advance = Progress.advance
def slow(self, **options):
    advance(self, **options)
    time.sleep(0.02)
Progress.advance = slow
from baldro.cli import main
sys.exit(main(sys.argv[1:]))
"""
"""A step takes long enough to be hit."""
UNLEARN = id_of("npo", variant="baldro-dv", epochs=60, batch_size=2, lr=0.01)
SHORT = id_of("npo", variant="baldro-dv", epochs=4, batch_size=2, lr=0.01)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A benchmark, a base model, its reference values, and a long and a short undisturbed unlearning run."""
    root = tmp_path_factory.mktemp("results")
    at = SimpleNamespace(root=root, given=dict(benchmark=root / "small.parquet", model=root / "tiny.json"))
    codes = [
        baldro("benchmark", definition=json.dumps(BENCHMARK), output=root / "small.parquet"),
        baldro("model", name="tiny", definition=json.dumps(TINY), output=root / "tiny.json"),
        baldro("train", run=PRETRAIN, output=root / "base", **at.given),
    ]
    start = dict(at.given, start=root / "base/model")
    codes += [baldro("reference", run=id_of("original"), output=root / "reference.parquet", **start)]
    at.unlearn = dict(start, run=UNLEARN, retain_split="retain90", reference=root / "reference.parquet", every=0)
    at.short = dict(at.unlearn, run=SHORT)
    codes += [baldro("train", output=root / "long", **at.unlearn), baldro("train", output=root / "short", **at.short)]
    assert codes == [0] * 6
    return at


def assert_same_run(folder, other):
    """Weights bit for bit, rows but for their times."""
    assert (folder / "model/model.safetensors").read_bytes() == (other / "model/model.safetensors").read_bytes()
    pd.testing.assert_frame_equal(*(pd.read_parquet(f / "dynamics.parquet") for f in (folder, other)))
    rows = [pd.read_csv(f / "train.csv") for f in (folder, other)]
    pd.testing.assert_frame_equal(*(frame.drop(columns=TIMES) for frame in rows))
    assert rows[0]["seconds"].is_monotonic_increasing
    assert json.loads((folder / "run.json").read_text())["steps"] == len(rows[0])


def files(folder):
    """Every file's bytes and time."""
    return {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in sorted(folder.rglob("*")) if p.is_file()}


def names(folder):
    return {path.name for path in folder.iterdir()}


OUTPUTS = set(finished.OUTPUTS)


# Real processes ------------------------------------------------------------------------------------------------------


class Started:
    """`baldro train` in a process of its own, which a parent has started with SIGUSR1 ignored, as in a SLURM job."""

    def __init__(self, **options):
        command = ["env", "--ignore-signal=USR1", sys.executable, "-c", SLOW, *words("train", **options)]
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
        _, error = self.process.communicate(timeout=120)
        return self.process.returncode, error.splitlines()[-1] if error else ""

    def caught(self, number):
        """Whether the process has a handler of its own for a signal; and whether torch is in its memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        mask = int(next(line for line in status.splitlines() if line.startswith("SigCgt")).split()[1], 16)
        torch_is_there = "libtorch" in Path(f"/proc/{self.process.pid}/maps").read_text()
        return bool(mask >> (number - 1) & 1), torch_is_there


@pytest.mark.processes
@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (2, 3, 4))])
def test_a_run_that_is_interrupted_again_and_again(made, tmp_path, seed):
    """Asked twice and killed twice, in random order, at random steps; some of the kills meet a checkpoint half written."""
    draw, output = random.Random(seed), tmp_path / "run"
    numbers = [signal.SIGUSR1, signal.SIGTERM, signal.SIGKILL, signal.SIGKILL]
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


@pytest.mark.processes
@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_a_signal_while_the_process_loads(made, tmp_path, number):
    """Handlers are there before torch is; the signal is obeyed once something can be kept, here nothing."""
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


@pytest.mark.processes
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


@pytest.mark.processes
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
    import baldro.cli.inputs
    import baldro.models
    import baldro.train  # noqa: F401

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
            "finished": (kept / finished.SEAL).is_file(),
        }
        (Path(root) / f"{number}.json").write_text(json.dumps(left))
        for name in finished.OUTPUTS if number % 2 else ():
            finished.remove(output / name)
        assert forked(options, 0, f"{output}.second.log") == 0, Path(f"{output}.second.log").read_text()


@pytest.mark.processes
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
        "import json, sys; from tests.cli.test_interruption import kill_everywhere as go; go(*json.loads(sys.argv[1]))"
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


# What was finished ---------------------------------------------------------------------------------------------------


@pytest.fixture
def trained(made, tmp_path):
    """The short run, as after Snakemake has deleted its outputs."""
    output = tmp_path / "run"
    shutil.copytree(made.root / "short", output)
    for name in OUTPUTS:
        finished.remove(output / name)
    return SimpleNamespace(output=output, options=dict(made.short, output=output))


def test_a_finished_training_is_restored_without_torch(made, trained):
    code = "import sys; from baldro.cli import main; print(main(sys.argv[1:]), 'torch' in sys.modules)"
    command = [sys.executable, "-c", code, *words("train", **trained.options)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "0 False", done.stderr
    assert f"{SHORT}: trained before, restored from {trained.output}/checkpoint/finished" in done.stdout
    assert_same_run(trained.output, made.root / "short")
    assert files(trained.output / "model").keys() == {
        trained.output / "model" / path.name for path in (made.root / "short/model").iterdir()
    }
    kept = finished.place(trained.output)
    assert (trained.output / "model/model.safetensors").samefile(kept / "model/model.safetensors"), "no more disk"


def test_the_outputs_may_be_deleted_and_restored_again_and_again(made, trained):
    for name in [*sorted(OUTPUTS), ""]:
        if name:
            finished.remove(trained.output / name)
        assert baldro("train", **trained.options) == 0
        assert_same_run(trained.output, made.root / "short")


@pytest.mark.parametrize("damage", ["cut", "gone", "seal gone", "seal cut", "seal lost"])
def test_what_is_not_whole_is_trained_again(made, trained, capsys, damage):
    kept = finished.place(trained.output)
    if damage.endswith("gone"):
        (kept / {"gone": "dynamics.parquet", "seal gone": finished.SEAL}[damage]).unlink()
    elif damage == "seal lost":
        (kept / finished.SEAL).write_bytes(b"\xff" * 40)
    else:
        os.truncate(kept / (finished.SEAL if damage == "seal cut" else "model/model.safetensors"), 100)
    assert baldro("train", **trained.options) == 0
    assert "or not whole: training begins anew" in capsys.readouterr().out
    assert_same_run(trained.output, made.root / "short")


def test_other_runs_keep_nothing(made):
    assert names(made.root / "base") == OUTPUTS


def test_scoring_ends_what_is_kept(made, trained, tmp_path):
    assert baldro("train", **trained.options) == 0
    score = dict(made.given, run=SHORT, max_new_tokens=2, evaluate_rows=1)
    other = dict(score, start=made.root / "base/model")
    assert baldro("score", output=trained.output / "samples.parquet", **other) == 0
    assert (trained.output / "checkpoint").exists(), "another model was scored"
    assert baldro("score", output=tmp_path / "elsewhere.parquet", **dict(score, start=trained.output / "model")) == 0
    assert (trained.output / "checkpoint").exists(), "and not for this run"
    relative = os.path.relpath(trained.output / "model")
    assert baldro("score", output=trained.output / "samples.parquet", **dict(score, start=relative)) == 0
    assert names(trained.output) == OUTPUTS | {"samples.parquet"}


def test_a_score_that_fails_ends_nothing(made, trained, monkeypatch):
    assert baldro("train", **trained.options) == 0
    before = files(trained.output)
    monkeypatch.setattr(pd.DataFrame, "to_parquet", lambda *_, **__: 1 / 0)
    score = dict(made.given, run=SHORT, max_new_tokens=2, evaluate_rows=1, start=trained.output / "model")
    assert baldro("score", output=trained.output / "samples.parquet", **score) == 1
    assert files(trained.output) == before


def test_scores_of_an_older_process_are_not_written(made, trained, tmp_path, monkeypatch, capsys):
    """It was frozen with the model in its memory; meanwhile the run is trained anew."""
    assert baldro("train", **trained.options) == 0
    to_parquet, before = pd.DataFrame.to_parquet, {}

    def overtaken(self, path, **options):
        monkeypatch.undo()
        assert baldro("train", **trained.options) == 0
        before.update(files(trained.output))
        to_parquet(self, path, **options)

    monkeypatch.setattr(pd.DataFrame, "to_parquet", overtaken)
    score = dict(made.given, run=SHORT, max_new_tokens=2, evaluate_rows=1, start=trained.output / "model")
    assert baldro("score", output=trained.output / "samples.parquet", **score) == 2
    assert "stops without writing" in capsys.readouterr().err and files(trained.output) == before


@pytest.mark.parametrize("verb", ["reference", "score"])
def test_verbs_that_write_into_one_folder_do_not_stop_each_other(made, tmp_path, monkeypatch, verb):
    """That of the original model gets reference values and evidence, perhaps at the same time."""
    options = dict(made.given, run=id_of("original"), start=made.root / "base/model")
    more = dict(max_new_tokens=2, evaluate_rows=1) if verb == "score" else {}
    to_parquet = pd.DataFrame.to_parquet

    def beside(self, path, **given):
        monkeypatch.undo()
        score = dict(options, max_new_tokens=2, evaluate_rows=1)
        assert baldro("score", output=tmp_path / "samples.parquet", **score) == 0
        to_parquet(self, path, **given)

    monkeypatch.setattr(pd.DataFrame, "to_parquet", beside)
    assert baldro(verb, output=tmp_path / "other.parquet", **options, **more) == 0
    assert names(tmp_path) == {"samples.parquet", "other.parquet"}


# What must be the same -----------------------------------------------------------------------------------------------


def other_defaults(options, folder, patch):
    """As if a line of Run had been edited: the id is what it was."""
    from baldro.grid import run

    default, parse = run.default, Run.parse
    patch.setattr(run, "default", lambda name, *rest: 0.5 if name == "weight_decay" else default(name, *rest))
    patch.setattr(Run, "parse", lambda id: replace(parse(id), weight_decay=0.5))  # which remembers what it has parsed
    assert Run.parse(options["run"]).id == options["run"]


def other_run(options, folder, patch):
    """Of another name only; the rest is the same."""
    options["run"] = SHORT.replace("--tiny--", "--other--")


def other_values(options, folder, patch):
    options["run"] = id_of("npo", variant="baldro-dv", epochs=4, batch_size=2, lr=0.02)


def other_weights(options, folder, patch):
    os.utime(options["start"] / "model.safetensors")


def other_start(options, folder, patch):
    shutil.copytree(options["start"], folder / "elsewhere", copy_function=shutil.copy2)
    options["start"] = folder / "elsewhere"


def other_model(options, folder, patch):
    stored = json.loads(options["model"].read_text())
    options["model"] = folder / "other.json"
    options["model"].write_text(json.dumps({**stored, "prompt": "Q: {question}\n"}))


def other_data(options, folder, patch):
    frame = pd.read_parquet(options["benchmark"])
    options["benchmark"] = folder / "other.parquet"
    frame.loc[frame["split"].eq("retain90") & frame["index"].eq(3), "answer"] = "Nobody knows."
    frame.to_parquet(options["benchmark"])


def other_retain(options, folder, patch):
    options["retain_split"] = "retain80"


def other_reference(options, folder, patch):
    frame = pd.read_parquet(options["reference"])
    options["reference"] = folder / "other.parquet"
    frame.assign(logp=frame["logp"] - 1).to_parquet(options["reference"])


def other_code(options, folder, patch):
    from baldro.cli import provenance

    patch.setattr(provenance, "code_of", lambda run: "0123456789abcdef")


OTHERS = [
    other_defaults, other_run, other_values, other_weights, other_start, other_model, other_data, other_retain, other_reference,
    other_code,
]  # fmt: skip


def interrupt(output, options, patch, step=3):
    """Stop a training after a step, within this process."""
    from baldro.progress import Progress

    def stop(self, **_):
        self.done += 1
        if self.done == step - 1:
            os.kill(os.getpid(), signal.SIGUSR1)

    with patch.context() as inner:
        inner.setattr(Progress, "advance", stop)
        assert baldro("train", output=output, **options) == 2
    assert names(output / "checkpoint") == {"state.pt"}


@pytest.mark.parametrize("change", OTHERS, ids=lambda change: change.__name__)
@pytest.mark.parametrize("left", ["checkpoint", "finished"])
def test_a_changed_run_does_not_go_on_from_what_another_left(made, tmp_path, monkeypatch, capsys, change, left):
    options, output = dict(made.short), tmp_path / "run"
    shutil.copytree(made.root / "base", tmp_path / "base", copy_function=shutil.copy2)
    options["start"] = tmp_path / "base/model"
    if left == "checkpoint":
        interrupt(output, options, monkeypatch)
    else:
        assert baldro("train", output=output, **options) == 0
    shutil.copytree(output, tmp_path / "copy")
    capsys.readouterr()
    change(options, tmp_path, monkeypatch)
    assert baldro("train", output=output, **options) == 0
    said = capsys.readouterr().out
    assert "training begins anew" in said and "restored" not in said and "continues" not in said
    fresh = tmp_path / "fresh"
    assert baldro("train", output=fresh, **options) == 0
    assert_same_run(output, fresh)


@pytest.mark.parametrize("left", ["checkpoint", "finished"])
def test_an_unchanged_run_goes_on(made, tmp_path, monkeypatch, capsys, left):
    """The control of the test above; other options, which change speed and memory only, do not matter."""
    options, output = dict(made.short), tmp_path / "run"
    if left == "checkpoint":
        interrupt(output, options, monkeypatch)
    else:
        assert baldro("train", output=output, **options) == 0
    (made.root / "base/model/.snakemake_timestamp").touch()  # Snakemake's own note
    capsys.readouterr()
    assert baldro("train", output=output, checkpoint_minutes=3, **{**options, "every": 2}) == 0
    said = capsys.readouterr().out
    assert "anew" not in said and ("continues" if left == "checkpoint" else "restored from") in said
    assert_same_run(output, made.root / "short")


def test_what_says_complete_goes_when_another_training_begins(made, tmp_path, monkeypatch):
    output = tmp_path / "run"
    assert baldro("train", output=output, **made.short) == 0
    other = dict(made.short, retain_split="retain80")
    assert baldro("train", output=output, **dict(other, reference=tmp_path / "none")) == 2
    assert names(output) == OUTPUTS | {"checkpoint"}, "a mistake in the options ends nothing"
    assert names(output / "checkpoint") == {"finished"}
    interrupt(output, other, monkeypatch)
    assert "run.json" not in names(output) and ".lease" not in names(output)


def test_the_word_for_a_model_that_is_built_is_one():
    from baldro import models
    from baldro.cli import given

    assert given.BUILD == models.BUILD
