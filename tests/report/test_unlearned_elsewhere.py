"""A report in which nothing was trained: published checkpoints beside Original and Retain."""

import pandas as pd

from baldro.report import write_report
from baldro.runs import Run

from .conftest import as_rows, write_run


def test_checkpoints_are_rows_of_every_table(tmp_path):
    point = dict(benchmark="tofu", model="tiny", split="forget10")
    runs = [Run.of(**point, objective=name) for name in ("original", "retain")]
    runs += [Run.of(**point, stage="none", checkpoint=name) for name in ("NPO_lr1e-05", "RMU")]
    for run in runs:
        write_run(tmp_path, run, n=20)
    write_report(
        name="elsewhere", runs=as_rows(runs), results=tmp_path, output=tmp_path / "out", selection={"rule": "all"},
        config_text="", notes={}, allow_missing=False,
    )  # fmt: skip
    (table,) = (tmp_path / "out" / "tables").glob("tofu--tiny.md")
    assert [line.split(" | ")[0] for line in table.read_text().splitlines() if line.startswith("| Published")] == [
        "| Published (checkpoint NPO\\_lr1e-05)",
        "| Published (checkpoint RMU)",
    ]
    rows = pd.read_csv(tmp_path / "out" / "runs.csv")
    assert list(rows["checkpoint"].dropna()) == ["NPO_lr1e-05", "RMU"] and rows["model_utility"].notna().all()
    assert (tmp_path / "out" / "figures" / "tofu--tiny--tradeoff.png").is_file()
