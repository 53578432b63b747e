"""A whole paper: its jobs are those of its experiments, each once."""

import shutil
from collections import Counter

import pytest

from baldro.config import load
from baldro.plan import jobs

from .conftest import ROOT, Checkout

pytestmark = pytest.mark.processes  # the real Snakemake

SHARED = """
name: {name}
grid: {{benchmark: few, model: nano, split: forget10, objective: npo, variant: [base, {variant}], lr: 1e-3, epochs: 2, batch_size: 2}}
"""


def test_a_paper_runs_what_its_experiments_run_and_a_changed_one_makes_its_report_anew(checkout):
    """Base is run already, for an experiment of a grid; the new ones share its result."""
    defined = (checkout.folder / "small.yaml").read_text().partition("grid:")[0].partition("benchmarks:")[2]
    for variant in ("baldro-g", "baldro-dv"):
        text = SHARED.format(name=variant, variant=variant) + f"benchmarks:{defined}"
        (checkout.folder / f"{variant}.yaml").write_text(text)
    paper = "name: whole\npaper: {table_1: [baldro-g.yaml, baldro-dv.yaml], figure_3: [baldro-dv.yaml]}\n"
    (checkout.folder / "whole.yaml").write_text(paper)
    new = "few--nano--forget10--npo--baldro-g--lr=0.001--epochs=2--batch_size=2"
    assert checkout.planned("whole.yaml") == {rule: [new] for rule in ("unlearn", "metrics")} | {"report": [""]}
    checkout.snakemake("whole.yaml", "--cores", "2")
    folder = checkout.folder / "results" / "reports" / "whole"
    names = ("table-1.csv", "table-1.md", "table-1.tex", "figure-3.csv", "figure-3.png", "figure-3.pdf")
    assert {f"few--nano--{name}" for name in names} <= {path.name for path in folder.rglob("*.*")}
    assert checkout.planned("whole.yaml") == {}
    checkout.edit("baldro-g.yaml", "lr: 1e-3", "lr: 0.001")
    assert checkout.planned("whole.yaml") == {"report": [""]}


@pytest.mark.parametrize("config", ["paper-small", "paper-released"])
def test_the_dry_run_of_the_repositorys_papers_lists_every_job(fresh, tmp_path, config):
    shutil.copytree(fresh.folder, tmp_path / "checkout")
    shutil.copytree(ROOT / "experiments", tmp_path / "checkout" / "experiments")
    planned = Checkout(tmp_path / "checkout").rules(f"experiments/{config}.yaml")
    experiment = load(ROOT / "experiments" / f"{config}.yaml")
    expected = {rule: len(runs) for rule, runs in jobs(experiment).items()}
    assert Counter(expected) <= Counter(planned) and planned["report"] == 1
