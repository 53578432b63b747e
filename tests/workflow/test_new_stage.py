"""A stage after unlearning is one file: grid, workflow and tables have it at once. A chain of requests is a line of config."""

import json
import math

import pandas as pd
import pytest

from .test_new_objective import files, stamps

pytestmark = pytest.mark.processes
FILE = "baldro/stages/repair.py"
LINES = '''"""Repair: an unlearned model is finetuned on what was to be retained (made up for a test)."""
from baldro.stages.stage import Kind, Stage

class Repair(Stage):
    """Starts from another row's model, and leaves a model until it is scored."""
    kinds = {"repair": Kind(label="Repaired", parent="required")}
    temporary = tabled = True
    fields = {"repair_on": {"kind": str, "default": "retain", "choices": ("retain", "forget"), "text": "Which split."}}

    def learns(self, run, retain_split):
        return retain_split if run.repair_on == "retain" else run.split
'''
BASE = "few--nano--forget10--npo--lr=0.001--epochs=2--batch_size=2"
CHILD = f"{BASE}--repair--lr=0.001--max_steps=2--batch_size=2"
ROUNDED = f"{BASE}--quantise--quantised_to=fp4"


def ended(checkout, run: str) -> pd.Series:
    """A run's row of runs.csv, which must have a result."""
    folder = checkout.folder / "results/runs" / run
    metrics = json.loads((folder / "metrics.json").read_text())["metrics"]
    assert {"forget_quality", "model_utility"} <= set(metrics) and all(map(math.isfinite, metrics.values()))
    rows = pd.read_csv(checkout.folder / "results/reports/small/runs.csv").set_index("id")
    assert rows.loc[run, "status"] == "ok"
    return rows.loc[run]


def test_a_file_with_a_stage_after_unlearning_goes_through_to_the_tables(finished, checkout):
    """And beside it, from the same model, one that is there and trains nothing: quantisation."""
    repair = {"stage": "repair", "lr": 1e-3, "max_steps": 2, "batch_size": 2}
    then = [repair, {"stage": "quantise", "quantised_to": "fp4"}]
    config = checkout.write("more.yaml", variant="base", then=then)
    said = checkout.run("baldro", "check", "--config", config, code=2).stderr
    assert "'repair'" in said, "there is no such stage yet"
    before = stamps(checkout.folder)

    (checkout.folder / FILE).write_text(LINES)
    planned = checkout.planned(config)
    assert planned["unlearn"] == [CHILD] and planned["unlearn_kept"] == [BASE], "whose model was not written"
    assert planned["score"] == [ROUNDED]
    assert not {"benchmark", "model", "finetune", "reference"} & set(planned)
    checkout.snakemake(config, "--cores", "2", seconds=900)

    row, rounded = ended(checkout, CHILD), ended(checkout, ROUNDED)
    assert (row["objective"], row["parent"]) == ("repair", BASE)
    assert (rounded["objective"], rounded["parent"]) == ("quantise", BASE)
    losses = [
        pd.read_parquet(checkout.folder / f"results/runs/{run}/samples.parquet")["avg_loss"] for run in (BASE, ROUNDED)
    ]
    assert not losses[0].equals(losses[1]), "it is the rounded model that was scored"
    assert not list((checkout.folder / "results/runs").glob("*npo*/model")), "temporary, both"
    folder = checkout.folder / "results/reports/small"
    table = min((folder / "tables").glob("*.md"), key=lambda path: len(path.name)).read_text()
    for text in (table, (folder / "report.html").read_text()):
        assert "Repaired (after NPO of forget10" in text and "Quantised (after NPO of forget10" in text
    after = stamps(checkout.folder)
    models = [name for name in before if "--finetune" in name or "--pretrain" in name]
    assert models and all(after[name] == before[name] for name in models)
    changed = {name for name, text in files(checkout.folder).items() if files(finished.folder).get(name) != text}
    assert changed == {FILE, config}


def test_a_chain_of_requests_starts_each_from_the_model_of_the_one_before(checkout):
    """Two requests, with the models kept; a third is its own jobs and no others."""
    config = checkout.write("chain.yaml", variant="base", then={"seed": 1})
    checkout.snakemake(config, "--cores", "2", "--notemp", seconds=900)
    second = f"{BASE}--npo--lr=0.001--epochs=2--batch_size=2--seed=1"
    started = json.loads((checkout.folder / "results/runs" / second / "run.json").read_text())["start"]
    assert started == f"results/runs/{BASE}/model"
    assert ended(checkout, second)["parent"] == BASE
    assert (checkout.folder / f"results/runs/{BASE}--scored/reference.parquet").is_file()

    third = f"{second}--npo--lr=0.001--epochs=2--batch_size=2--seed=2"
    planned = checkout.planned(checkout.write("third.yaml", variant="base", then={"seed": 1, "then": {"seed": 2}}))
    assert planned.pop("reference") == [f"{second}--scored,"]
    assert planned == {rule: [third] for rule in ("unlearn", "metrics")} | {"report": [""]}
