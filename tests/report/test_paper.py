"""A paper in its own layout: which rows and columns, the published numbers beside ours, and what is said of them."""

import math
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import yaml

from baldro.analysis.published import distance_of, hold, hold_p
from baldro.analysis.rows import Cell
from baldro.cli import main
from baldro.config import load
from baldro.config.paper import Paper
from baldro.records import metrics
from baldro.report.paper import EXHIBITS
from baldro.stats import ks_values

from .conftest import write_run

TOFU = dict(benchmark="tofu", model="llama-2-7b-chat", split=["forget01", "forget05"])
MUSE = dict(benchmark="muse-news", model="llama-2-7b", split="forget")
VARIANTS = ["base", "baldro-g", "baldro-dv"]
BEST = {"rule": "best", "metric": "forget_quality"}
CONFIGS = {
    "tofu": dict(
        grid=[
            TOFU | dict(objective="npo", variant=VARIANTS, dv_beta=[1, 5], seed=[0, 1]),
            TOFU | dict(objective="simnpo", seed=[0, 1]),
        ],
        selection=BEST,
    ),
    "ascent": dict(grid=TOFU | dict(objective="gradascent"), selection=BEST),
    "muse": dict(grid=MUSE | dict(objective="npo", variant=VARIANTS)),
    "shares": dict(grid=TOFU | dict(split="forget05", objective="npo", variant="baldro-g", g_fraction=[0.25, 0.5, 1])),
    "retain": dict(
        grid=TOFU
        | dict(split="forget05", objective="npo", variant="baldro-dv", retain_normalisation="sample-mean")
        | dict(retain_variant=["base", "baldro-g"])
    ),
}
PAPER = dict(
    table_1=["tofu", "ascent"], table_2=["muse"], table_3=["tofu", "ascent"], figure_3=["tofu"], figure_4=["tofu"],
    figure_5=["retain"], percentiles=["shares"],
)  # fmt: skip


@pytest.fixture(scope="module")
def paper(tmp_path_factory) -> Path:
    """A paper's config, with results of 40 samples beside it and the report written. Not to be changed by a test."""
    folder = tmp_path_factory.mktemp("paper")
    for name, keys in CONFIGS.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({"name": name, **keys}, sort_keys=False))
    files = {exhibit: [str(folder / f"{name}.yaml") for name in names] for exhibit, names in PAPER.items()}
    path = folder / "paper.yaml"
    path.write_text(yaml.safe_dump(dict(name="whole", paper=files), sort_keys=False))
    for run in load(path).runs:
        write_run(folder / "results", run, n=40)
        if run.split == "forget01":
            file = metrics.place(folder / "results", run.id)
            found = metrics.read(file, run=run.id)
            metrics.write(file, replace(found, metrics={**found.metrics, "mia_loss": 0.5}))
    assert main(["report", "--config", str(path), "--results", str(folder / "results")]) == 0
    return path


def folder(paper: Path) -> Path:
    return paper.parent / "results" / "reports" / "whole"


def numbers(paper: Path, stem: str) -> pd.DataFrame:
    return pd.read_csv(folder(paper) / "tables" / f"{stem}.csv")


def test_the_config_can_ask_for_every_table_and_figure_of_the_layout():
    assert set(Paper.model_fields) == set(EXHIBITS)


def test_every_table_and_figure_is_there_in_all_formats(paper):
    tofu, muse = "tofu--llama-2-7b-chat", "muse-news--llama-2-7b"
    tables = {f"{tofu}--table-1", f"{muse}--table-2", f"{tofu}--table-3", f"{tofu}--figure-3"}
    assert {file.stem for file in (folder(paper) / "tables").iterdir()} == tables
    figures = {f"{tofu}--{name}" for name in ("figure-3", "figure-4", "figure-5", "percentiles")}
    drawn = sorted((folder(paper) / "figures").iterdir())
    assert {file.stem for file in drawn} == figures and all(file.stat().st_size > 5000 for file in drawn)
    page = (folder(paper) / "report.html").read_text()
    assert all(f"{title}" in page for title in ("Table 1", "Table 2", "Table 3", "Figure 3: ", "Figure 4: "))
    assert page.count("<img") == 4 and "# ascent.yaml" in page


def test_columns_and_rows_are_the_papers(paper):
    """In its order, of its methods alone; experiments with one rule share a table."""
    first = numbers(paper, "tofu--llama-2-7b-chat--table-1")
    head = ["forget_quality", "model_utility", "exact_memorization", "extraction_strength", "forget_truth_ratio"]
    assert list(dict.fromkeys(first["metric"]))[:5] == head
    assert set(first["objective"]) == {"original", "retain", "npo", "simnpo", "gradascent"}
    assert "gradascent" not in set(numbers(paper, "tofu--llama-2-7b-chat--table-3")["objective"])
    assert set(numbers(paper, "tofu--llama-2-7b-chat--figure-3")["split"]) == {"forget05"}
    columns = list(dict.fromkeys(numbers(paper, "muse-news--llama-2-7b--table-2")["metric"]))
    assert columns == ["knowmem_retain", "knowmem_forget", "verbmem_forget", "privleak"]


def test_each_published_number_is_held_against_ours(paper):
    for stem in ("tofu--llama-2-7b-chat--table-1", "muse-news--llama-2-7b--table-2", "tofu--llama-2-7b-chat--figure-3"):
        table = numbers(paper, stem)
        held = table[table["difference"].notna()]
        assert len(held) and (held["difference"] - (held["mean"] - held["published"])).abs().max() < 1e-12
        plain = held[(held["metric"] != "forget_quality") & held["low"].notna()]
        within = (plain["low"] <= plain["published"]) & (plain["published"] <= plain["high"])
        assert (plain["inside"] == within).all()
        own = (table["objective"] == "retain") & table["metric"].isin(["forget_quality", "privleak"])
        assert table[own]["difference"].isna().all(), "Retain against itself"
    first = numbers(paper, "tofu--llama-2-7b-chat--table-1").set_index(["objective", "variant", "metric"])
    frame = pd.read_csv(folder(paper) / "runs.csv")
    npo = frame[(frame["objective"] == "npo") & (frame["variant"] == "base") & (frame["split"] == "forget01")]
    steps = abs(npo["forget_quality_d"].mean() - 6 / 40) * 40
    row = first[first["split"] == "forget01"].loc[("npo", "base", "forget_quality")]
    assert row["d_steps"] == pytest.approx(steps), "published .7659 is D = 6/40"
    assert first[first["split"] == "forget05"]["difference"].isna().all()


def test_under_a_row_stand_the_published_one_and_the_difference(paper):
    text = (folder(paper) / "tables" / "tofu--llama-2-7b-chat--table-1.md").read_text()
    lines = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")]
    at = next(i for i, line in enumerate(lines) if line[0] == "| NPO")
    _, theirs, apart = lines[at : at + 3]
    assert theirs[:3] == ["| published", "\N{EN DASH}", "0.77"] and apart[0] == "| ours minus published"
    assert "of D" in apart[2] and ("inside" in apart[3] or "outside" in apart[3])
    assert "No published number of forget05 is at hand" in text
    tex = (folder(paper) / "tables" / "tofu--llama-2-7b-chat--table-1.tex").read_text()
    assert "ours minus published" in tex and "steps of D" in tex


def test_robust_variants_are_compared_in_the_metrics_of_their_benchmark(paper):
    found = pd.read_csv(folder(paper) / "differences.csv").groupby("benchmark")["metric"].agg(set)
    assert not found["tofu"] & found["muse-news"] - {"exact_memorization"} and "knowmem_forget" in found["muse-news"]


def test_the_summary_and_the_page_lead_with_how_the_published_numbers_lie(paper, capsys):
    results = str(paper.parent / "results")
    assert main(["summary", "--config", str(paper), "--results", results]) == 0
    said = capsys.readouterr().out
    lead = said.splitlines()[0]
    assert "Table 1: of " in lead and "Table 3: of " in lead and "steps of D apart" in lead
    assert "what the sources do not tell" in " ".join((folder(paper) / "report.html").read_text().split()).lower()
    assert lead[:40] in (folder(paper) / "report.html").read_text()


def test_without_results_the_rows_say_so_and_no_figure_is_drawn(paper, tmp_path):
    assert main(["report", "--allow-missing", "--config", str(paper), "--results", str(tmp_path)]) == 0
    found = pd.read_csv(tmp_path / "reports" / "whole" / "tables" / "tofu--llama-2-7b-chat--table-1.csv")
    assert found["mean"].isna().all() and found["outcome"].str.startswith("missing").all()
    assert found["published"].notna().any() and found["difference"].isna().all()
    assert "Not drawn" in (tmp_path / "reports" / "whole" / "report.html").read_text()


def test_a_p_value_is_held_by_the_d_behind_it():
    for d, p in ks_values(40, 40)[4:15]:
        assert distance_of(round(p, 4), 40, 40) == distance_of(math.floor(p * 1e4) / 1e4, 40, 40) == d
    ours, d = (Cell(mean=mean, low=None, high=None, n=1) for mean in (0.99, 0.1))
    held = hold_p(ours, 0.7659, d, (40, 40))
    assert held.steps == pytest.approx(2) and held.inside is None and held.difference == pytest.approx(0.2241)
    assert hold_p(ours, 0.7659, replace(d, low=0.0, high=0.2), (40, 40)).inside is True
    assert hold_p(ours, 0.5, d, (40, 40)).steps is hold_p(ours, 0.7659, d, None).steps is None
    assert hold(replace(ours, low=0.9, high=1.0), 0.9).inside is True and hold(ours, 0.9).inside is None
