"""`baldro train --samples`: a model that is scored where it was trained says what it says once it is stored and read."""

import os
import signal

import pandas as pd
import pytest

from baldro.durable.progress import Progress
from baldro.jobs import finished

from .conftest import OUTPUTS, SHORT, assert_same_run, baldro, files, id_of, names

pytestmark = pytest.mark.usefixtures("one_thread")
ASKED = dict(max_new_tokens=3, evaluate_rows=2, holdout="holdout10", gradient_norms=True)
ROWS = OUTPUTS - {"model"} | {"samples.parquet"}
LEFT = ROWS | {"checkpoint"}
"""Until the evidence is read."""
BF16 = id_of("npo", variant="baldro-g", epochs=2, batch_size=2, lr=0.01, precision="bf16")
BF16_ONLY = id_of("npo", variant="base", epochs=2, batch_size=2, lr=0.01, precision="bf16-only")
LORA = id_of("simnpo", variant="base", epochs=2, batch_size=2, lr=0.01, lora_rank=2)


def scored(options, output, **more):
    """The exit code of one verb for both."""
    return baldro("train", output=output, samples=output / "samples.parquet", **{**options, **ASKED, **more})


def assert_same_evidence(folder, other):
    pd.testing.assert_frame_equal(*(pd.read_parquet(f / "samples.parquet") for f in (folder, other)), check_exact=True)


@pytest.fixture(scope="module")
def apart(made):
    """The short run, trained and then scored by a verb of its own."""
    score = dict(made.given, run=SHORT, start=made.root / "short/model", output=made.root / "short/samples.parquet")
    assert baldro("score", **score, **ASKED) == 0
    return made.root / "short"


@pytest.mark.parametrize("run", [BF16, BF16_ONLY, LORA])
def test_the_evidence_is_that_of_the_stored_model(made, tmp_path, run):
    options = dict(made.unlearn, run=run)
    assert baldro("train", output=tmp_path / "apart", **options) == 0
    score = dict(made.given, run=run, start=tmp_path / "apart/model", output=tmp_path / "apart/samples.parquet")
    assert baldro("score", **score, **ASKED) == 0
    assert scored(options, tmp_path / "at_once", keep="model") == 0
    assert_same_evidence(tmp_path / "at_once", tmp_path / "apart")
    assert_same_run(tmp_path / "at_once", tmp_path / "apart")
    read(tmp_path / "at_once", run)
    assert names(tmp_path / "at_once") == names(tmp_path / "apart") | {"metrics.json"}


def read(output, run=SHORT):
    """As a workflow does next."""
    samples = output / "samples.parquet"
    assert baldro("metrics", run=run, samples=samples, alone=True, output=output / "metrics.json") == 0


def test_no_model_is_left_nor_anything_once_the_evidence_is_read(made, apart, tmp_path):
    assert scored(made.short, tmp_path) == 0
    assert names(tmp_path) == LEFT and not list(tmp_path.rglob("model*"))
    assert (tmp_path / "samples.parquet").samefile(finished.place(tmp_path) / "samples.parquet"), "no more disk"
    assert_same_evidence(tmp_path, apart)
    elsewhere = dict(samples=tmp_path / "samples.parquet", alone=True, output=made.root / "elsewhere.json")
    assert baldro("metrics", **elsewhere) == 0 and names(tmp_path) == LEFT, "a look changes nothing"
    read(tmp_path)
    assert names(tmp_path) == ROWS | {"metrics.json"}


def test_a_run_that_starts_from_the_model_leaves_nothing_else_of_it(made, tmp_path):
    first, options = tmp_path / "first", dict(made.short, start=tmp_path / "first/model")
    assert scored(made.short, first, keep="model") == 0
    assert baldro("train", output=tmp_path / "next", **options) == 0
    assert names(first) == OUTPUTS | {"samples.parquet"}


# What is made once ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep", ["nothing", "model", "finished"])
def test_a_second_start_hands_over_what_the_first_has_made(made, tmp_path, capsys, monkeypatch, keep):
    """The first is killed between sealing and handing over; the second loses its outputs, as Snakemake deletes them, and starts again."""
    with monkeypatch.context() as patch:
        patch.setattr(finished.Finished, "hand_over", lambda self: 1 / 0)
        assert scored(made.short, tmp_path, keep=keep) == 1
    assert names(tmp_path) == {"checkpoint"}
    before = files(finished.place(tmp_path))
    for _ in range(2):
        for name in LEFT - {"checkpoint"}:
            finished.remove(tmp_path / name)
        capsys.readouterr()
        assert scored(made.short, tmp_path, keep=keep) == 0
        said = capsys.readouterr()
        assert "made before, restored from" in said.out and "step" not in said.err
        assert names(tmp_path) == LEFT | ({"model"} if keep != "nothing" else set())
        assert names(tmp_path / "checkpoint") == {"finished"}
        assert files(finished.place(tmp_path)) == before
        assert all((tmp_path / name).samefile(finished.place(tmp_path) / name) for name in ROWS)


@pytest.mark.parametrize(
    ("keep", "said"), [("nothing", "training begins anew"), ("finished", "trained before, restored")]
)
def test_evidence_of_other_questions_is_not_believed(made, apart, tmp_path, capsys, keep, said):
    """With the model it is taken again; as with --notemp."""
    assert scored(made.short, tmp_path, keep=keep, max_new_tokens=1) == 0
    assert names(tmp_path) == LEFT | ({"model"} if keep == "finished" else set())
    capsys.readouterr()
    assert scored(made.short, tmp_path, keep=keep) == 0
    assert said in capsys.readouterr().out
    assert_same_evidence(tmp_path, apart)
    read(tmp_path)
    assert ("checkpoint" in names(tmp_path)) == (keep == "finished")
    if keep == "finished":
        assert_same_run(tmp_path, apart)


def other_code(patch):
    from baldro.jobs import scoring

    patch.setattr(scoring, "fingerprint", lambda *_, **__: "0123456789abcdef")


def test_evidence_of_other_code_is_not_believed(made, tmp_path, capsys, monkeypatch):
    assert scored(made.short, tmp_path) == 0
    other_code(monkeypatch)
    capsys.readouterr()
    assert scored(made.short, tmp_path) == 0
    assert "training begins anew" in capsys.readouterr().out


# A scoring that does not end -----------------------------------------------------------------------------------------


def fails(patch):
    to_parquet = pd.DataFrame.to_parquet
    patch.setattr(
        pd.DataFrame,
        "to_parquet",
        lambda self, path, **options: 1 / 0 if "samples" in str(path) else to_parquet(self, path, **options),
    )
    return 1


def is_asked_to_stop(patch):
    advance = Progress.advance

    def hit(self, **options):
        if self.label.startswith("score"):
            os.kill(os.getpid(), signal.SIGTERM)
        advance(self, **options)

    patch.setattr(Progress, "advance", hit)
    return 2


@pytest.mark.parametrize("ends", [fails, is_asked_to_stop])
def test_after_a_scoring_that_did_not_end_there_is_only_that_to_do(made, apart, tmp_path, capsys, ends):
    with pytest.MonkeyPatch.context() as patch:
        assert ends(patch) == scored(made.short, tmp_path)
    assert names(tmp_path) == {"checkpoint"}
    assert is_asked_to_stop is not ends or "interrupted by SIGTERM while it was scored" in capsys.readouterr().err
    assert scored(made.short, tmp_path) == 0
    assert "trained before, restored from" in capsys.readouterr().out
    assert names(tmp_path) == LEFT and not list(tmp_path.rglob("model*"))
    assert_same_evidence(tmp_path, apart)


def test_an_older_process_writes_no_evidence(made, tmp_path, monkeypatch, capsys):
    """It was frozen while it scored; meanwhile the run is made anew."""
    to_parquet, before = pd.DataFrame.to_parquet, {}

    def overtaken(self, path, **options):
        if "samples" in str(path):
            monkeypatch.undo()
            assert scored(made.short, tmp_path) == 0
            before.update(files(tmp_path))
        to_parquet(self, path, **options)

    monkeypatch.setattr(pd.DataFrame, "to_parquet", overtaken)
    assert scored(made.short, tmp_path) == 2
    assert "stops without writing" in capsys.readouterr().err and files(tmp_path) == before


def test_what_cannot_be_scored_is_not_trained(made, tmp_path, capsys):
    assert scored(made.short, tmp_path, max_new_tokens=100000) == 2
    assert "step" not in capsys.readouterr().err and names(tmp_path) == set()
