"""`baldro train --samples`: a model that is scored where it was trained says what it says once it is stored and read."""

import os
import signal

import pandas as pd
import pytest

from baldro.durable.progress import Progress

from .conftest import OUTPUTS, SHORT, assert_same_run, baldro, files, id_of, names

pytestmark = pytest.mark.usefixtures("one_thread")
ASKED = dict(max_new_tokens=3, evaluate_rows=2, holdout="holdout10", gradient_norms=True)
ROWS = OUTPUTS - {"model"} | {"samples.parquet"}
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
    assert names(tmp_path / "at_once") == names(tmp_path / "apart")


def test_no_model_is_left_nor_anything_to_make_one(made, apart, tmp_path):
    assert scored(made.short, tmp_path) == 0
    assert names(tmp_path) == ROWS
    assert_same_evidence(tmp_path, apart)


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
    assert names(tmp_path) == ROWS
    assert_same_evidence(tmp_path, apart)


def test_what_is_kept_for_another_scoring(made, apart, tmp_path, capsys):
    """As with --notemp: what is asked of the model changes, and nothing is trained."""
    assert scored(made.short, tmp_path, keep="finished", max_new_tokens=1) == 0
    assert names(tmp_path) == ROWS | {"model", "checkpoint"}
    assert scored(made.short, tmp_path, keep="finished") == 0
    assert "trained before, restored from" in capsys.readouterr().out
    assert_same_evidence(tmp_path, apart)
    assert_same_run(tmp_path, apart)


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
