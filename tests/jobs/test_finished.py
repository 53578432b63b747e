"""What `baldro train` keeps when it has finished: restored, held against what was asked for, gone when it is scored."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest

from baldro.jobs import finished
from baldro.records.finished import SEAL
from baldro.runs import Run

from .conftest import OUTPUTS, SHORT, assert_same_run, baldro, files, id_of, names, words

pytestmark = pytest.mark.usefixtures("one_thread")


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
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.stdout.splitlines()[-1] == "0 False", done.stderr
    assert f"{SHORT}: made before, restored from {trained.output}/checkpoint/finished" in done.stdout
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
        (kept / {"gone": "dynamics.parquet", "seal gone": SEAL}[damage]).unlink()
    elif damage == "seal lost":
        (kept / SEAL).write_bytes(b"\xff" * 40)
    else:
        os.truncate(kept / (SEAL if damage == "seal cut" else "model/model.safetensors"), 100)
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
    from baldro.runs import run

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
    """One bit, and the times are what they were."""
    file = options["start"] / "model.safetensors"
    times, content = file.stat(), file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


def other_start(options, folder, patch):
    shutil.copytree(options["start"], folder / "elsewhere", copy_function=shutil.copy2)
    options["start"] = folder / "elsewhere"


def other_model(options, folder, patch):
    stored = json.loads(options["model"].read_text())
    options["model"] = folder / "other.json"
    options["model"].write_text(json.dumps({**stored, "name": "another"}))


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
    from baldro.jobs import provenance

    patch.setattr(provenance, "code_of", lambda run: "0123456789abcdef")


OTHERS = [
    other_defaults, other_run, other_values, other_weights, other_start, other_model, other_data, other_retain, other_reference,
    other_code,
]  # fmt: skip


def interrupt(output, options, patch, step=3):
    """Stop a training after a step, within this process."""
    from baldro.durable.progress import Progress

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
