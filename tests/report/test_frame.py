"""The long table: what becomes a row, and what is an error."""

import json

import pandas as pd
import pytest
from refusals import refused

from baldro.analysis.evidence import read_visits
from baldro.analysis.frame import COSTS, absent_of, hyperparameter_names, interval_of, metric_names, read_results
from baldro.errors import BaldroError
from baldro.report import read_frame

SMALL = dict(splits=("forget10",), objectives=("npo",), variants=("base",), seeds=(0,))
THREE = {**SMALL, "seeds": (0, 1, 2)}
EVALUATED = '{"run": "ID", "definitions": "x", "metrics": {%s}, "intervals": {%s}, "absent": {}}'


def test_a_row_per_run_with_the_numbers_of_its_files(study):
    rows, results = study(splits=("forget10",), objectives=("npo",), betas=(1, 5), seeds=(0,))
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
    with refused("definitions-differ", rows[0]["id"], rows[3]["id"], "make run"):
        read_frame(runs=rows, results=results)


def _alter(path, **columns):
    table = pd.read_parquet(path)
    table.assign(**columns).to_parquet(path, index=False)


@pytest.mark.parametrize(
    ("columns", "code", "facts"),
    [
        ({"value": float("nan")}, "bad-values-per-sample", []),
        ({"index": 0}, "bad-values-per-sample", []),
        ({"value": 0.5}, "files-of-two-evaluations", ["0.5", "make run"]),
    ],
)
def test_values_per_sample_must_fit_the_metrics(study, columns, code, facts):
    rows, results = study(**SMALL)
    path = results / "runs" / rows[1]["id"] / "per_sample.parquet"
    pd.read_parquet(path).assign(**columns).to_parquet(path, index=False)
    with refused(code, path, *facts):
        read_frame(runs=rows, results=results)


def test_fields_survive_the_csv(study, tmp_path):
    rows, results = study(splits=("forget10",), objectives=("npo",), betas=(1, 5), seeds=(0,))
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
    rows, results = study(**THREE)
    lose(results, rows[3]["id"], "loss is NaN at step 12")
    lose(results, rows[4]["id"])
    frame = read_frame(runs=rows, results=results, allow_missing=True)
    assert frame.loc[3, ["status", "reason"]].tolist() == ["failed", "loss is NaN at step 12"]
    assert frame.loc[4, ["status", "reason"]].tolist() == ["missing", "no result; see its log"]
    assert frame.loc[[3, 4], metric_names(frame)].isna().all(axis=None)
    with refused("run-without-result", rows[3]["id"], "loss is NaN at step 12", "1 more"):
        read_frame(runs=rows, results=results)


def test_a_failure_beside_an_older_result_counts(study):
    rows, results = study(**THREE)
    failure = {"run": rows[3]["id"], "stage": "train", "reason": "out of memory"}
    (results / "runs" / rows[3]["id"] / "failed.json").write_text(json.dumps(failure))
    frame = read_frame(runs=rows, results=results, allow_missing=True)
    assert frame.loc[3, "status"] == "failed" and pd.isna(frame.loc[3, "model_utility"])


@pytest.mark.parametrize(
    ("file", "content", "facts"),
    [
        ("metrics.json", "{", [":1"]),
        ("metrics.json", "[1]", []),
        ("metrics.json", EVALUATED.replace("ID", "other") % ('"a": 1', ""), ["other"]),
        ("metrics.json", '{"run": "ID", "metrics": {"a": 1}}', ["definitions"]),
        ("metrics.json", '{"run": "ID", "definitions": "x", "metrics": {"a": 1}}', ["intervals", "make run"]),
        ("metrics.json", EVALUATED % ("", ""), []),
        ("metrics.json", EVALUATED % ('"a": NaN', ""), ["a is nan"]),
        ("metrics.json", EVALUATED % ('"a": null', ""), ["a is None"]),
        ("metrics.json", EVALUATED % ('"a": 1', '"a": [2, 1]'), ["[2, 1]"]),
        ("metrics.json", EVALUATED % ('"a": 1', '"b": [1, 2]'), ["interval of b"]),
        ("metrics.json", EVALUATED % ('"a": 1', '"a": [NaN, 2]'), ["interval of a"]),
        ("per_sample.parquet", "x", []),
        ("per_sample.parquet", None, []),
        ("dynamics.parquet", "x", []),
        ("run.json", '{"run": "ID", "seconds": 1}', ["spec"]),
        ("run.json", None, []),
        ("failed.json", '{"run": "ID", "stage": "train", "reason": ""}', []),
    ],
)
def test_a_broken_or_absent_file_is_named(study, file, content, facts):
    """The files' rooms have the codes; here each file is read, and its error passed on."""
    rows, results = study(**SMALL)
    path = results / "runs" / rows[2]["id"] / file
    if content is None:
        path.unlink()
    else:
        path.write_text(content.replace("ID", rows[2]["id"]))
    with pytest.raises(BaldroError) as error:
        read_frame(runs=rows, results=results, allow_missing=True)
        read_visits(results, rows[2]["id"])
    assert all(fact in str(error.value) for fact in [file, *facts]) and "\n" not in str(error.value)


def test_no_runs_is_an_error(tmp_path):
    with refused("no-runs"):
        read_frame(runs=[], results=tmp_path)
