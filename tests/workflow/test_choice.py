"""Multiple choice from an experiment's file to its table: texts of two topics are learnt, and forgotten by RMU as released."""

import json
import shutil

import pandas as pd
import pytest
import yaml

from .conftest import ROOT

pytestmark = pytest.mark.processes
SMALL = dict(authors=4, questions=6, background_authors=1, forget={"forget25": "retain75"})
LEARN = dict(lr=1e-2, epochs=1, batch_size=8)


def smallest(path) -> dict:
    """An experiment with the first of its blocks alone, a model of one layer and a benchmark of four authors."""
    config = yaml.safe_load(path.read_text())
    shape = dict(vocab_size=400, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    (model,) = config["models"].values()
    grid = config["grid"][0] | dict(benchmark="exams", split="forget25", rmu_layer=0, max_steps=4, seed=0)
    assert grid["rmu_positions"] == "padded" and grid["rmu_weights"] == "down-proj"
    benchmarks = {"exams": dict(kind="fictional_choice", **SMALL)}
    model |= dict(build=shape, pretrain=LEARN, finetune=LEARN)
    return config | dict(name="smallest", grid=grid, benchmarks=benchmarks)


def test_the_experiment_ends_in_a_table(fresh, tmp_path):
    checkout = type(fresh)(shutil.copytree(fresh.folder, tmp_path / "checkout"))
    config = smallest(ROOT / "experiments/fictional-choice.yaml")
    (checkout.folder / "smallest.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    checkout.snakemake("smallest.yaml", "--cores", "2")
    rows = pd.read_csv(checkout.folder / "results/reports/smallest/runs.csv").set_index("objective")
    assert list(rows.index) == ["original", "retain", "rmu"] and (rows["status"] == "ok").all()
    (table,) = checkout.folder.glob("results/reports/smallest/tables/*.md")
    assert all(name in table.read_text() for name in ("Acc F", "Acc R", "RMU"))

    run = checkout.folder / "results/runs" / rows.loc["rmu", "id"]
    assert set(json.loads((run / "metrics.json").read_text())["metrics"]) == {"choice_forget", "choice_retain"}
    texts = pd.read_parquet(checkout.folder / "results/data/exams.parquet").query("split == 'forget25'")
    taken = pd.read_parquet(run / "dynamics.parquet")
    topics = taken["index"].map(texts.set_index("index")["topic"]).groupby(taken["step"]).unique().map(list)
    assert topics.tolist() == [[topic] for topic in texts["topic"].unique()] * 2 and texts["topic"].nunique() == 2
