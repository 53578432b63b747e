"""A new metric is one file: it goes through the real workflow to the tables, a figure and a sentence, and nothing else names it."""

import json

import pandas as pd
import pytest

pytestmark = pytest.mark.processes
NAME, FILE = "brevity", "baldro/metrics/brevity.py"
LINES = '''"""Brevity of the answers to forgotten questions (made up for a test)."""

from baldro.metrics.intervals import of_mean
from baldro.metrics.metric import COMPARISON, MAIN, MEMORY, SENTENCE, STRENGTH, Metric, Paired, Value, register


def brevity(model, retain):
    """1 / (1 + words), per sample, in (0, 1]."""
    values = 1 / (1 + model.column("forget", "length"))
    return Value(value=float(values.to_numpy().mean()), per_sample=values)


register(
    Metric(
        name="brevity",
        define=brevity,
        label="brevity of answers",
        short="Brv",
        better="down",
        source="made up",
        kinds=("tofu",),
        interval=of_mean,
        paired=Paired(values=(("brevity",),)),
        shown={MAIN: 1, COMPARISON: 9, SENTENCE: 9, STRENGTH: 9, MEMORY: 9},
    )
)
'''


def test_one_file_adds_a_metric_with_all_its_roles(checkout):
    (checkout.folder / FILE).write_text(LINES)
    config = checkout.write("swept.yaml", name="swept", variant=["base", "baldro-dv"], dv_beta=[1, 5])
    planned = checkout.planned(config)
    assert "pretrain" not in planned and set(planned) >= {"metrics", "report"}, "numbers are made again, models are not"
    checkout.snakemake(config, "--cores", "2", seconds=900)

    report = checkout.folder / "results/reports/swept"
    runs = pd.read_csv(report / "runs.csv")
    assert runs[NAME].between(0, 1).all() and (runs[f"{NAME}_low"] <= runs[NAME]).all()
    evaluation = json.loads((checkout.folder / "results/runs" / runs["id"].iloc[0] / "metrics.json").read_text())
    assert NAME in evaluation["intervals"], "its confidence interval over samples"
    main = min((report / "tables").glob("*.csv"), key=lambda path: len(path.name))
    assert NAME in set(pd.read_csv(main)["metric"]) and "Brv ↓" in main.with_suffix(".md").read_text()
    differences = pd.read_csv(report / "differences.csv").query("metric == @NAME")
    assert len(differences) and differences["p_holm"].notna().all(), "its paired test"
    page = (report / "report.html").read_text()
    alt = next(line for line in page.splitlines() if "Lines over the temperature beta_dv" in line)
    assert "Brv" in alt, "a row of the figure of strength"
    findings = page.partition('id="findings"')[2].partition("</section>")[0]
    assert "brevity of answers" in findings.partition("Every comparison")[0], "a sentence"
