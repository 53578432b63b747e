"""The long table: what becomes a row, and what is an error."""

import json

import pandas as pd
import pytest

from baldro.analysis.frame import COSTS, absent_of, hyperparameter_names, interval_of, metric_names, read_results
from baldro.errors import BaldroError
from baldro.report import read_frame

EVALUATED = '{"run": "ID", "definitions": "x", "metrics": {%s}, "intervals": {%s}, "absent": {}}'


def test_a_row_per_run_with_the_numbers_of_its_files(study):
    rows, results = study(splits=("forget10",), seeds=(0, 1))
    frame = read_frame(runs=rows, results=results)
    assert list(frame["id"]) == [row["id"] for row in rows]
    assert (frame["status"] == "ok").all() and frame["reason"].isna().all()
    for row in frame.to_dict("records"):
        metrics = json.loads((results / "runs" / row["id"] / "metrics.json").read_text())["metrics"]
        assert {name: row[name] for name in metric_names(frame)} == metrics
    unlearned = frame[~frame["objective"].isin(["original", "retain"])]
    assert (unlearned["tokens_per_second"] == 5000 / 12.5).all()
    assert frame.loc[frame["objective"] == "original", list(COSTS)].isna().all(axis=None)


def test_intervals_absent_metrics_and_sizes_are_columns(study):
    rows, results = study(splits=("forget10",), objectives=("npo",), seeds=(0,), samples=60)
    frame, samples = read_results(runs=rows, results=results)
    for row in frame.to_dict("records"):
        content = json.loads((results / "runs" / row["id"] / "metrics.json").read_text())
        shown = {name: ends for name in metric_names(frame) if (ends := interval_of(row, name))}
        assert shown == {name: tuple(ends) for name, ends in content["intervals"].items()}
        assert absent_of(row) == content["absent"] and row["definitions"] == content["definitions"]
        assert row["forget_rows"] == 60 == len(samples[row["id"]]["forget_truth_ratio_raw"])
        assert samples[row["id"]]["forget_probability"].mean() == pytest.approx(row["forget_probability"], abs=1e-12)
    first = list(frame.columns).index("definitions")
    ends = [f"{name}_{end}" for name in metric_names(frame) if interval_of(row, name) for end in ("low", "high")]
    assert list(frame.columns)[first:] == ["definitions", "forget_rows", "absent", *ends]


def test_metrics_of_two_definitions_are_an_error(study):
    rows, results = study(splits=("forget10",), objectives=("npo",), seeds=(0,))
    path = results / "runs" / rows[3]["id"] / "metrics.json"
    path.write_text(path.read_text().replace("0a1b2c", "ffffff"))
    with pytest.raises(BaldroError, match="different definitions") as error:
        read_frame(runs=rows, results=results)
    text = str(error.value)
    assert rows[0]["id"] in text and rows[3]["id"] in text and "make run" in text and "\n" not in text


def _alter(path, **columns):
    table = pd.read_parquet(path)
    table.assign(**columns).to_parquet(path, index=False)


@pytest.mark.parametrize(
    ("alter", "message"),
    [
        (lambda path: path.unlink(), "per_sample.parquet is not there"),
        (lambda path: path.write_bytes(b"x"), "per_sample.parquet: not a parquet file"),
        (lambda path: _alter(path, value=float("nan")), "not finite, or an index twice"),
        (lambda path: _alter(path, index=0), "not finite, or an index twice"),
        (lambda path: _alter(path, value=0.5), "the mean .* is 0.5 but metrics.json says .*make run"),
    ],
)
def test_values_per_sample_must_fit_the_metrics(study, alter, message):
    rows, results = study(splits=("forget10",), objectives=("npo",), seeds=(0,))
    alter(results / "runs" / rows[1]["id"] / "per_sample.parquet")
    with pytest.raises(BaldroError, match=message) as error:
        read_frame(runs=rows, results=results)
    assert "\n" not in str(error.value)


def test_fields_survive_the_csv(study, tmp_path):
    rows, results = study(splits=("forget10",), seeds=(0, 1))
    frame = read_frame(runs=rows, results=results)
    frame.to_csv(tmp_path / "runs.csv", index=False)
    lines = (tmp_path / "runs.csv").read_text().splitlines()
    again = pd.read_csv(tmp_path / "runs.csv")
    assert len(lines) == len(rows) + 1 and list(again.columns) == list(frame.columns)
    assert again.loc[again["variant"] == "baldro-dv", "dv_beta"].tolist() == [
        row["dv_beta"] for row in rows if row["variant"] == "baldro-dv"
    ]
    assert ",1," in lines[-1] and ",1.0," not in lines[-1]
    assert "seed" not in hyperparameter_names(frame) and "dv_beta" in hyperparameter_names(frame)


def test_failed_and_missing_runs_are_rows_or_errors(study, lose):
    rows, results = study(splits=("forget10",))
    lose(results, rows[3]["id"], "loss is NaN at step 12")
    lose(results, rows[4]["id"])
    frame = read_frame(runs=rows, results=results, allow_missing=True)
    assert frame.loc[3, ["status", "reason"]].tolist() == ["failed", "loss is NaN at step 12"]
    assert frame.loc[4, ["status", "reason"]].tolist() == ["missing", "no result; see its log"]
    assert frame.loc[[3, 4], metric_names(frame)].isna().all(axis=None)
    with pytest.raises(BaldroError, match=rf"{rows[3]['id']} failed: loss is NaN at step 12 \(and 1 more\)"):
        read_frame(runs=rows, results=results)


def test_a_failure_beside_an_older_result_counts(study):
    rows, results = study(splits=("forget10",))
    failure = {"run": rows[3]["id"], "stage": "train", "reason": "out of memory"}
    (results / "runs" / rows[3]["id"] / "failed.json").write_text(json.dumps(failure))
    frame = read_frame(runs=rows, results=results, allow_missing=True)
    assert frame.loc[3, "status"] == "failed" and pd.isna(frame.loc[3, "model_utility"])


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("metrics.json", "{", "metrics.json:1: not JSON"),
        ("metrics.json", "[1]", "a JSON object"),
        ("metrics.json", EVALUATED.replace("ID", "other") % ('"a": 1', ""), "belongs to run 'other'"),
        ("metrics.json", '{"run": "ID", "metrics": {"a": 1}}', "lacks definitions; .* without scoring again"),
        ("metrics.json", '{"run": "ID", "definitions": "x", "metrics": {"a": 1}}', "lacks intervals; .*make run"),
        ("metrics.json", EVALUATED % ("", ""), "has no metrics"),
        ("metrics.json", EVALUATED % ('"a": NaN', ""), "a is nan; allowed: a finite number"),
        ("metrics.json", EVALUATED % ('"a": null', ""), "a is None"),
        ("metrics.json", EVALUATED % ('"a": 1', '"a": [2, 1]'), r"the interval of a is \[2, 1\]"),
        ("metrics.json", EVALUATED % ('"a": 1', '"b": [1, 2]'), "the interval of b"),
        ("metrics.json", EVALUATED % ('"a": 1', '"a": [NaN, 2]'), "the interval of a"),
        ("run.json", '{"run": "ID", "seconds": 1}', "lacks spec"),
        ("failed.json", '{"run": "ID", "stage": "train", "reason": ""}', "gives no reason"),
    ],
)
def test_broken_files_are_one_line_errors(study, file, content, message):
    rows, results = study(splits=("forget10",))
    (results / "runs" / rows[2]["id"] / file).write_text(content.replace("ID", rows[2]["id"]))
    with pytest.raises(BaldroError, match=message) as error:
        read_frame(runs=rows, results=results, allow_missing=True)
    assert "\n" not in str(error.value) and file in str(error.value)


def test_a_result_without_its_record_is_an_error(study):
    rows, results = study(splits=("forget10",))
    (results / "runs" / rows[2]["id"] / "run.json").unlink()
    with pytest.raises(BaldroError, match=r"run.json is not there"):
        read_frame(runs=rows, results=results, allow_missing=True)


def test_no_runs_is_an_error(tmp_path):
    with pytest.raises(BaldroError, match="no runs"):
        read_frame(runs=[], results=tmp_path)
