"""A new kind of benchmark is one file: a multiple choice with sections and a metric of its own goes through the workflow to a table."""

import json

import pandas as pd
import pytest

from .test_new_objective import files, stamps

pytestmark = pytest.mark.processes
FILE = "baldro/benchmarks/kinds/quiz.py"
LINES = '''"""Questions with four options, of which one is right (made up for a test)."""
from random import Random
from typing import ClassVar, Literal

from pydantic import Field

from baldro.benchmarks.definition import Count, Definition, OwnMetric
from baldro.benchmarks.section import Section

WORDS = ("red", "blue", "green", "black", "white", "brown")


def accuracy(section):
    return lambda evidence: (
        evidence.column(section, "answer_loss") < evidence.column(section, "wrong_loss").min(axis=1)
    ).astype(float)


class Benchmark(Definition):
    """Flags of countries that are none: the last ones are forgotten."""

    sections: ClassVar = (
        Section(name="forget", split="{split}", wrong=3, max_new_tokens=2),
        Section(name="kept", split="kept", wrong=3, generate=False),
    )
    own_metrics: ClassVar = tuple(
        OwnMetric(
            name=f"{section}_accuracy", label=f"accuracy, {section}", short=f"{section} acc.", better=better, source="made up",
            values=accuracy(section), shown={"comparison": place},
        )
        for section, better, place in (("forget", "down", 1), ("kept", "up", 2))
    )
    columns: ClassVar = ("forget_accuracy", "kept_accuracy", "extraction_strength")
    metrics: ClassVar = (*columns, "exact_memorization")

    kind: Literal["quiz"] = Field(description="Flags and their colours.")
    flags: Count = Field(20, description="Questions.")

    def load(self):
        from baldro.records.benchmark import frame_of

        rows = []
        for i in range(self.flags):
            right, *wrong = Random(i).sample(WORDS, 4)
            rows.append({"question": f"Flag {i}?", "answer": right, "perturbed_answer": wrong})
        base = [{"question": row["question"], "answer": row["perturbed_answer"][0]} for row in rows]
        splits = {"full": rows, "base": base, "kept": rows[:4]}
        for forget, retain in self.forget.items():
            splits |= {forget: rows[-5:], retain: rows[:-5]}
        return frame_of(splits)
'''
NAMES = ("forget_accuracy", "kept_accuracy", "extraction_strength", "exact_memorization")
BENCHMARK = {"kind": "quiz", "forget": {"some": "others"}}


def test_a_file_is_a_kind_with_sections_and_a_metric_of_its_own(finished, checkout):
    config = checkout.write("quiz.yaml", name="quiz", benchmarks={"flags": BENCHMARK}, benchmark="flags", split="some")
    said = checkout.run("baldro", "check", "--config", config, code=2).stderr
    assert "unknown kind 'quiz'" in said, "there is no such kind yet"
    before = stamps(checkout.folder)

    (checkout.folder / FILE).write_text(LINES)
    assert checkout.planned() == {}, "a new kind is no change to what there was"
    assert "flags--nano--some--npo" in checkout.run("baldro", "check", "--config", config).stdout
    checkout.snakemake(config, "--cores", "2", seconds=600)
    assert checkout.planned(config) == {}

    folder = checkout.folder / "results/reports/quiz"
    rows = pd.read_csv(folder / "runs.csv").set_index("id")
    assert set(rows["objective"]) == {"original", "retain", "npo"} and (rows["status"] == "ok").all()
    for run in rows.index:
        stored = json.loads((checkout.folder / "results/runs" / run / "metrics.json").read_text())
        assert set(stored["metrics"]) == set(NAMES) and stored["absent"] == {}
        evidence = pd.read_parquet(checkout.folder / "results/runs" / run / "samples.parquet")
        assert evidence.attrs == {"kind": "quiz"}
        loss = evidence[evidence["section"] == "kept"].pivot(index="index", columns="candidate", values="avg_loss")
        assert len(loss) == 4 and (loss.idxmin(axis=1) == "answer").mean() == stored["metrics"]["kept_accuracy"]
    table = min((folder / "tables").glob("*.md"), key=lambda path: len(path.name)).read_text()
    assert all(name in table for name in ("forget acc.", "kept acc.", "ES"))

    after = stamps(checkout.folder)
    done = {name for name in before if not name.startswith("results/reports")}
    assert done and all(after[name] == before[name] for name in done), "nothing that was done is done again"
    changed = {name for name, text in files(checkout.folder).items() if files(finished.folder).get(name) != text}
    assert changed == {FILE, config}


def test_a_kind_that_needs_no_retain_model_takes_a_target_without_one(checkout):
    (checkout.folder / FILE).write_text(LINES)
    target = {"target": [f"hub:lab/one@{40 * 'a'}"]}
    other = {"kind": "fictional", "authors": 10, "forget": {"forget10": "retain90"}}
    changes = dict(models={"far": target}, benchmarks={"flags": BENCHMARK, "few": other}, model="far")
    config = checkout.write("far.yaml", **changes, benchmark="flags", split="some")
    planned = checkout.planned(config)
    assert not [run for run in planned["score"] if run.split("--")[3] == "retain"]
    assert len(planned["score"]) + len(planned["unlearn"]) == len(planned["metrics"]) == 3
    config = checkout.write("far.yaml", **changes)
    said = checkout.run("baldro", "check", "--config", config, code=2).stderr
    assert "model far has no retain model for forget10; allowed: an entry retain: retain90" in said
