"""The long table: what becomes a row, and what is an error."""

import json

import pandas as pd
import pytest

from baldro.errors import BaldroError
from baldro.report import read_frame
from baldro.report.frame import COSTS, hyperparameter_names, metric_names


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
        ("metrics.json", "{", "not readable JSON"),
        ("metrics.json", "[1]", "a JSON object"),
        ("metrics.json", '{"run": "other", "metrics": {"a": 1}}', "belongs to run 'other'"),
        ("metrics.json", '{"run": "ID", "metrics": {}}', "has no metrics"),
        ("metrics.json", '{"run": "ID", "metrics": {"a": NaN}}', "a is nan; allowed: a finite number"),
        ("metrics.json", '{"run": "ID", "metrics": {"a": null}}', "a is None"),
        ("run.json", '{"run": "ID", "seconds": 1}', "lacks steps"),
        ("failed.json", '{"run": "ID"}', "gives no reason"),
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
