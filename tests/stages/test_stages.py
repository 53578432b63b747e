"""A stage is one file of `baldro/stages`; what is wrong in it ends in one line."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from baldro.methods.catalogue import OBJECTIVES
from baldro.stages import KINDS, STAGE_OF, STAGES

PACKAGE = Path(__file__).resolve().parents[2] / "baldro"
HEAD = "from baldro.stages.stage import Kind, Stage\n"


def test_every_kind_of_run_is_of_one_stage():
    assert set(STAGES) == {"pretrain", "finetune", "none", "unlearn", "relearn", "quantise"}
    assert {name for name, stage in STAGE_OF.items() if stage == "unlearn"} == set(OBJECTIVES)
    others = {"pretrain", "finetune", "original", "retain", "scored", "published", "relearn", "quantise"}
    assert set(KINDS) == {*others, *OBJECTIVES}


@pytest.mark.parametrize(
    ("lines", "code", "fact"),
    [
        ("x = 1", "not-a-stage", "mine.py"),
        ("class Mine(Stage):\n    pass", "not-a-stage", "mine.py"),
        ("class Mine(Stage)", "file-not-readable", "mine.py"),
        ('class Mine(Stage):\n    kinds = {"npo": Kind(label="N")}', "name-of-two", "'npo'"),
        ('class Mine(Stage):\n    kinds = {"cvar": Kind(label="N")}', "name-of-two", "'cvar'"),
        (
            'class Mine(Stage):\n    kinds = {"mine": Kind(label="N")}\n    fields = {"lr": {}}',
            "field-means-two-things",
            "lr",
        ),
    ],
)
def test_a_file_that_is_no_stage_is_one_line(lines, code, fact, tmp_path):
    copy = shutil.copytree(PACKAGE, tmp_path / "baldro", ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "stages" / "mine.py").write_text(HEAD + lines + "\n")
    script = "from baldro.errors import BaldroError\ntry:\n    import baldro.runs\nexcept BaldroError as e:\n    print(e.code, e)"
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, timeout=120,
                             env={"PYTHONPATH": str(tmp_path)})  # fmt: skip
    (line,) = process.stdout.splitlines()
    assert line.startswith(f"{code} ") and fact in line, process.stderr
