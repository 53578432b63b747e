"""Models that were unlearned elsewhere, in local folders: described, scored and tabled, and nothing is trained."""

import pandas as pd
import pytest

from .test_new_stage import ended

pytestmark = pytest.mark.processes


def test_checkpoints_in_folders_are_evaluated_as_methods_are(checkout):
    """The one is the target's copy, and so its row has Original's numbers; the other has learnt nothing of these authors."""
    for name in ("full--finetune", "retain90--finetune", "base--pretrain"):
        (folder,) = checkout.folder.glob(f"results/runs/few--nano--{name}*/model")
        folder.rename(checkout.folder / name.partition("--")[0])
    model = dict(prompt="{question}\n", target=["full"], retain=dict(retain90=["retain90"]))
    model |= dict(checkpoints=dict(copy=["full"], ignorant=["nowhere", "base"]))
    grid = dict(benchmark="few", model="given", split="forget10", stage="none", checkpoint=["copy", "ignorant"])
    config = checkout.write("given.yaml", models={"given": model}, grid=grid)
    assert set(checkout.planned(config)) == {"model", "weights", "score", "metrics", "report"}
    checkout.snakemake(config, "--cores", "2", seconds=600)
    names = ("original", "published--checkpoint=copy", "published--checkpoint=ignorant")
    original, copy, ignorant = (ended(checkout, f"few--given--forget10--{name}") for name in names)
    numbers = ["forget_quality", "model_utility", "forget_probability"]
    pd.testing.assert_series_equal(copy[numbers], original[numbers], check_names=False)
    assert ignorant["forget_probability"] < original["forget_probability"]
    (table,) = checkout.folder.glob("results/reports/small/tables/few--given.md")
    assert "| Published (checkpoint copy) |" in table.read_text()
