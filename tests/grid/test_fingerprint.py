"""What a stage's fingerprint sees of an edit: code, and only code that the stage uses."""

import shutil
from importlib import import_module
from pathlib import Path

import pytest

from baldro.grid import OBJECTIVES, Run, code_of, fingerprint

PACKAGE = Path(__file__).resolve().parents[2] / "baldro"
STAGES = {"data", "score", "metrics", "report"}
RUNS = {
    objective: Run.of(benchmark="b", model="m", split="s", objective=objective)
    for objective, method in OBJECTIVES.items()
    if method.trains
}
TRAINED = set(RUNS)


@pytest.fixture
def changed(tmp_path, monkeypatch):
    """Which stages and runs an edit of one file of the package changes, by name."""

    def codes(package: Path) -> dict[str, str]:
        module = import_module("baldro.grid.fingerprint")  # by its name: in baldro.grid the function hides it
        monkeypatch.setattr(module, "PACKAGE", package)
        return {stage: fingerprint(stage) for stage in STAGES} | {name: code_of(run) for name, run in RUNS.items()}

    def edit(file: str, old: str, new: str) -> set[str]:
        copy = tmp_path / "baldro"
        shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
        text = (copy / file).read_text()
        assert old in text, f"{file} no longer holds {old!r}"
        (copy / file).write_text(text.replace(old, new, 1))
        before, after = codes(PACKAGE), codes(copy)
        return {name for name in before if before[name] != after[name]}

    return edit


def test_the_same_code_elsewhere_has_the_same_fingerprint(changed):
    assert changed("train.py", "", "") == set()


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("journal.py", "import csv\n", "# a comment\nimport csv\n"),
        ("train.py", '"""The loop that', '"""A loop that'),
        ("train.py", "FORGET, RETAIN = 0, 1", "FORGET, RETAIN = (\n    0,\n    1,\n)"),
        ("robust.py", '    """1/B each: the plain mean."""\n', ""),
        ("objectives/npo.py", "* (stats.logp_B", "*   (stats.logp_B"),
        ("progress.py", "every: float = 5.0", "every: float = 9.0"),
        ("files.py", "token_hex(4)", "token_hex(8)"),
        ("lease.py", ">= 1:", ">= 2:"),
        ("cli/training.py", "RANK", "OTHER_RANK"),
        ("cli/finished.py", "finished.json", "other.json"),
        ("cli/main.py", "default=64", "default=32"),
        ("grid/experiment.py", "found: dict[Run, None] = {}", "found: dict[Run, None] = dict()"),
    ],
)
def test_words_layout_and_what_makes_no_numbers_change_nothing(changed, file, old, new):
    assert changed(file, old, new) == set()


@pytest.mark.parametrize(
    ("file", "old", "new", "what"),
    [
        ("train.py", "FORGET, RETAIN = 0, 1", "FORGET, RETAIN = 0, 2", TRAINED),
        ("robust.py", "+ 1e-9", "+ 1e-8", TRAINED),
        ("objectives/__init__.py", ".sum(1)", ".mean(1)", TRAINED),
        ("objectives/npo.py", "-2 / npo_beta", "-3 / npo_beta", {"npo"}),
        ("objectives/simnpo.py", "loss(", "loss_(", {"simnpo"}),
        ("objectives/satimp.py", "(1 - p_BT)", "(2 - p_BT)", {"satimp"}),
        ("models.py", "HEAD_ELEMENTS =", "HEAD_ELEMENTS = 1 +", TRAINED | {"score"}),
        ("score/generation.py", "import torch", "import math as _m\nimport torch", {"score"}),
        ("metrics/utility.py", "import ", "import math as _m\nimport ", {"metrics", "report"}),
        ("stats/paired.py", "import numpy", "import math as _m\nimport numpy", {"report"}),
        ("report/figures/tradeoff.py", "import ", "import math as _m\nimport ", {"report"}),
        ("data/fictional.py", "MOST = 400", "MOST = 300", {"data"}),
    ],
)
def test_an_edit_changes_the_stages_that_use_it_and_no_other(changed, file, old, new, what):
    assert changed(file, old, new) == what


def test_a_fingerprint_is_taken_once(monkeypatch):
    """A workflow asks for it in every job."""
    module, run = import_module("baldro.grid.fingerprint"), RUNS["npo"]
    before = code_of(run), fingerprint("score")
    monkeypatch.setattr(module, "imports", lambda path: pytest.fail(f"{path} is read again"))
    assert (code_of(run), fingerprint("score")) == before


def test_an_objective_that_borrows_its_loss_changes_with_the_lender(changed):
    """GradDiff's forget loss is GradAscent's."""
    assert changed("objectives/gradascent.py", "loss(", "loss_(") == {"gradascent", "graddiff"}
