"""Every file of results: where the rules write it is where its owner says, and what is written is read again."""

import re
from pathlib import Path

import pandas as pd
import pytest
from refusals import refused

from baldro.records import (
    benchmark,
    dynamics,
    evidence,
    failure,
    finished,
    metrics,
    model,
    per_sample,
    reference,
    report,
    run,
    slurm,
    steps,
    tasks,
    weights,
)

ROOT = Path(__file__).resolve().parents[2]
R = Path("results")
PLACES = [
    benchmark.place(R, "{benchmark}"),
    model.place(R, "{model}"),
    weights.place(R, "{model}", "{part}"),
    tasks.place(R, "{benchmark}"),
    reference.place(R, "{run}", "{kind}").with_name("reference{{kind}}.parquet"),  # the rule's kind has its hyphen
    run.place(R, "{run}"),
    run.place(R, "{run}").with_name(steps.NAME),
    dynamics.place(R, "{run}"),
    run.place(R, "{run}").with_name(finished.MODEL),
    evidence.place(R, "{run}"),
    metrics.place(R, "{run}"),
    per_sample.place(R, "{run}"),
    report.place(R, "{EXPERIMENT.name}") / report.PAGE,
]


def test_the_rules_write_where_the_records_are():
    rules = "".join(path.read_text() for path in sorted((ROOT / "workflow" / "rules").glob("*.smk")))
    outputs = set(re.findall(r'f?"((?:results/|\{RUN\}/)[^" ]+)"', rules.replace("{RUN}", "results/runs/{run}")))
    assert {str(place) for place in PLACES} <= outputs


TRAINED = run.Trained(
    run="a--b--c--npo", spec={"lr": 1e-5}, start="build", steps=2, tokens=9, seconds=1.5, peak_memory_bytes=7, device="cpu: 1 threads",
    versions={"torch": None}, commit=None, data="d", code="c", finished="2026-01-01T00:00:00+0000",
)  # fmt: skip
RECORDS = [
    (run, TRAINED),
    (failure, failure.Failure(run="a", stage="train", reason="loss is NaN")),
    (weights, weights.Weights(place="hub:a/b@main", commit="c" * 40, bytes=3, files={"config.json": 3})),
    (tasks, tasks.Tasks(asked={"tasks": ["quiz"]}, package="0.4.13", tasks={"quiz": {"version": 1.0, "questions": 9}})),
    (weights, weights.Weights(place="m.gguf", commit=None, content="f", bytes=3, files={"m.gguf": 3})),
    (
        model,
        model.Description(
            name="m", prompt="chat", date="2025-04-10", build=None, starts={"base": "x"}, rendered={"base": "h"}
        ),
    ),
    (
        metrics,
        metrics.Evaluation(
            run="a", definitions="d", metrics={"x": 0.5}, intervals={"x": (0.4, 0.6)}, absent={"y": "none"}
        ),
    ),
]


@pytest.mark.parametrize(("owner", "record"), RECORDS, ids=[type(record).__name__ for _, record in RECORDS])
def test_a_record_is_read_as_it_was_written(owner, record, tmp_path):
    owner.write(tmp_path / "r.json", record)
    assert owner.read(tmp_path / "r.json") == record


@pytest.mark.parametrize(("text", "code"), [("[1]", "not-an-object"), ("{}", "key-missing")])
@pytest.mark.parametrize("owner", [run, failure, weights, model, metrics])
def test_what_is_no_record_is_refused_in_one_line(owner, text, code, tmp_path):
    (tmp_path / "r.json").write_text(text)
    with refused(code, tmp_path / "r.json"):
        owner.read(tmp_path / "r.json")


def test_another_runs_file_is_refused(tmp_path):
    run.write(tmp_path / "run.json", TRAINED)
    with refused("another-run", "'a--b--c--npo'", "'other'"):
        run.read(tmp_path / "run.json", run="other")


def test_tables_keep_their_columns_and_refuse_others(tmp_path):
    rows = [dict.fromkeys(dynamics.TYPES, 1.0), dict.fromkeys(dynamics.TYPES, 2.0)]
    dynamics.write(tmp_path / "d.parquet", rows)
    assert dynamics.read(tmp_path / "d.parquet").dtypes.astype(str).to_dict() == dynamics.TYPES
    steps.write(tmp_path / "train.csv", [dict.fromkeys(steps.COLUMNS, 1.0)])
    assert list(steps.read(tmp_path / "train.csv")) == list(steps.COLUMNS)
    pd.DataFrame({"index": [0]}).to_parquet(tmp_path / "x.parquet")
    for owner in (benchmark, reference, per_sample, dynamics):
        with refused("column-missing", tmp_path / "x.parquet", "`baldro "):
            owner.read(tmp_path / "x.parquet")


def test_a_training_is_whole_as_long_as_no_file_of_it_changes(tmp_path):
    for name in finished.OUTPUTS:
        (tmp_path / name).write_text("x")
    finished.write(tmp_path, "made from this")
    assert finished.read(tmp_path).identity == "made from this"
    (tmp_path / steps.NAME).write_text("longer")
    assert finished.read(tmp_path) is None


def test_slurm_jobs_that_are_none_are_named(tmp_path):
    assert slurm.read(tmp_path / "slurm.jsonl") == []
    slurm.write(tmp_path / "slurm.jsonl", [{"job": "1"}])
    with refused("key-missing", "slurm.jsonl:1: ", "rules"):
        slurm.read(tmp_path / "slurm.jsonl")
