"""A new forget objective is one file of ten lines: the grid, a variant, a combiner and the tables have it at once."""

import json
import math
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml

from .conftest import Checkout
from .test_bad_input import lines

pytestmark = pytest.mark.processes
NAME, FILE = "root-of-p", "baldro/methods/objectives/root_of_p.py"
LINES = '''"""Root of p: each answer token's probability to a power (made up for a test)."""
from typing import Annotated
from baldro.methods.objectives import objective

@objective(label="Root of p")
def token_loss(stats, *, root_power: Annotated[float, "> 0, <= 1"] = 0.5):
    """p_t^a, per token (B, T), in (0, 1].

    Args:
        root_power: the exponent a of root of p.
    """
    return (root_power * stats.logp_BT).exp()
'''
POINT = "few--nano--forget10--root-of-p"
SETTINGS = "lr=0.001--max_steps=2--batch_size=2"
RUNS = {
    f"{POINT}--{SETTINGS}",
    f"{POINT}--baldro-dv--{SETTINGS}--combiner=blur--root_power=1",
}


def files(folder: Path) -> dict[str, bytes]:
    """Everything that is code or configuration."""
    rooms = ("baldro", "plugins", "workflow", "profiles")
    paths = [*folder.glob("*.yaml"), folder / "Snakefile", *(p for room in rooms for p in (folder / room).rglob("*"))]
    return {str(p.relative_to(folder)): p.read_bytes() for p in paths if p.is_file() and p.suffix != ".pyc"}


def stamps(folder: Path) -> dict[str, int]:
    """When each file of the results was written."""
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in (folder / "results").rglob("*") if p.is_file()}


@pytest.fixture
def config(checkout) -> str:
    """The small experiment, and a block of the new objective."""
    block = yaml.safe_load((checkout.folder / "small.yaml").read_text())["grid"]
    own = {name: value for name, value in block.items() if name != "epochs"} | {"objective": NAME, "max_steps": 2}
    robust = {"variant": "baldro-dv", "combiner": "blur", "root_power": 1}
    return checkout.write("more.yaml", grid=[block, own | robust, own | {"variant": "base"}])


def test_a_file_of_ten_lines_goes_through_the_whole_grid(finished, checkout, config):
    assert len([line for line in LINES.splitlines() if line.strip()]) <= 10
    said = checkout.run("baldro", "check", "--config", config, code=2).stderr
    assert "'root_power'" in said, "there is no such field yet"
    before = stamps(checkout.folder)

    (checkout.folder / FILE).write_text(LINES)
    new = {rule: sorted(RUNS) for rule in ("unlearn", "metrics")} | {"report": [""]}
    assert checkout.planned(config) == new, "and what there was is as it was"
    checkout.snakemake(config, "--cores", "2", seconds=600)

    for run in RUNS:
        folder = checkout.folder / "results/runs" / run
        metrics = json.loads((folder / "metrics.json").read_text())["metrics"]
        assert {"forget_quality", "forget_quality_d", "model_utility"} <= set(metrics)
        assert all(math.isfinite(value) for value in metrics.values())
        losses = pd.read_parquet(folder / "dynamics.parquet")["loss"]
        assert losses.between(0, 1, inclusive="right").all() and losses.nunique() > 1, "p to a power"
    folder = checkout.folder / "results/reports/small"
    rows = pd.read_csv(folder / "runs.csv").set_index("id")
    assert set(rows.index[rows["objective"] == NAME]) == RUNS and (rows["status"] == "ok").all()
    table = min((folder / "tables").glob("*.md"), key=lambda path: len(path.name)).read_text()
    for text in (table, (folder / "report.html").read_text()):
        assert all(label in text for label in ("Root of p", "Root of p + BalDRO-DV", "BLUR"))
    assert NAME in checkout.run("baldro", "methods").stdout

    after = stamps(checkout.folder)
    done = {name for name in before if not name.startswith("results/reports")}
    assert done and all(after[name] == before[name] for name in done), "nothing that was done is done again"
    changed = {name for name, text in files(checkout.folder).items() if files(finished.folder).get(name) != text}
    assert changed == {FILE, config}


def test_a_mistake_in_the_file_or_its_field_is_one_line_everywhere(fresh, tmp_path):
    """Its bounds are checked as any other field's; what cannot be read ends the verbs and the workflow."""
    own = Checkout(shutil.copytree(fresh.folder, tmp_path / "checkout"))
    (own.folder / FILE).write_text(LINES)
    path = own.write("bad.yaml", objective=NAME, root_power=1.5)
    (line,) = own.run("baldro", "check", "--config", path, code=2).stderr.splitlines()
    assert line.startswith("baldro check: bad.yaml:") and "root_power is 1.5" in line
    (own.folder / FILE).write_text(LINES.replace("root_power: the", "power: the"))
    (line,) = own.run("baldro", "check", "--config", path, code=2).stderr.splitlines()
    assert line.startswith(f"baldro check: {own.folder / FILE}:6: ") and "root_power" in line
    (line,) = lines(own.snakemake("small.yaml", code=1))
    assert line.startswith(f"baldro: {own.folder / FILE}:6: ")
    assert not (own.folder / "results").exists()
