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
    assert set(STAGES) == {"pretrain", "finetune", "none", "unlearn", "relearn"}
    assert {name for name, stage in STAGE_OF.items() if stage == "unlearn"} == set(OBJECTIVES)
    assert set(KINDS) == {"pretrain", "finetune", "original", "retain", "scored", "relearn", *OBJECTIVES}


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("x = 1", "mine.py: holds no stage; allowed: one subclass of Stage, with its kinds"),
        ("class Mine(Stage):\n    pass", "mine.py: holds no stage; allowed: one subclass of Stage, with its kinds"),
        ("class Mine(Stage)", "mine.py: cannot be read ("),
        ('class Mine(Stage):\n    kinds = {"npo": Kind(label="N")}', "'npo' of stage unlearn is also stage mine's"),
        ('class Mine(Stage):\n    kinds = {"cvar": Kind(label="N")}', "'cvar' of stage mine is also a variant's"),
        (
            'class Mine(Stage):\n    kinds = {"mine": Kind(label="N")}\n    fields = {"lr": {}}',
            "has a field lr, which every run has",
        ),
    ],
)
def test_a_file_that_is_no_stage_is_one_line(lines, said, tmp_path):
    copy = shutil.copytree(PACKAGE, tmp_path / "baldro", ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "stages" / "mine.py").write_text(HEAD + lines + "\n")
    code = "from baldro.errors import BaldroError\ntry:\n    import baldro.runs\nexcept BaldroError as e:\n    print(e)"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=120,
                             env={"PYTHONPATH": str(tmp_path)})  # fmt: skip
    assert said in process.stdout and process.stdout.count("\n") == 1, process.stderr
