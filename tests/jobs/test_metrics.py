"""`baldro metrics` as a person calls it: on published logs, on broken ones, without a retain model, and its export."""

import gzip
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp

from baldro.cli.main import main
from baldro.metrics import METRICS
from baldro.runs import fingerprint

EXCERPTS = Path(__file__).resolve().parents[1] / "metrics" / "excerpts"
TARGET = EXCERPTS / "tofu_Llama-3.2-1B-Instruct_full__evals_forget01__TOFU_EVAL.numeric.json"
RETAIN = EXCERPTS / "tofu_Llama-3.2-1B-Instruct_retain99__TOFU_EVAL.numeric.json"
MUSE = EXCERPTS / "muse_Llama-2-7b-hf_News_target__MUSE_EVAL.numeric.json"


def metrics(*options: object) -> int:
    return main(["metrics", *map(str, options)])


def test_a_published_log_is_recomputed_beside_what_it_says(capsys):
    assert metrics("--samples", TARGET, "--retain-samples", RETAIN) == 0
    out = capsys.readouterr().out
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert lines["forget_quality"].split()[1] == "0.00676073"
    for name in ("forget_quality", "forget_probability", "forget_rouge", "exact_memorization", "mia_min_k", "privleak"):
        assert lines[name].endswith("the same"), lines[name]
    assert re.search(r"0\.375  \[0\.\d+, 0\.\d+\]$", lines["forget_quality_d"])
    assert "the log has no retain_Q_A_Prob" in out


def test_files_of_a_published_log(tmp_path):
    output, per_sample, export = tmp_path / "m.json", tmp_path / "p.parquet", tmp_path / "TOFU_EVAL.json"
    options = ["--output", output, "--per-sample", per_sample, "--export", export]
    assert metrics("--samples", TARGET, "--retain-samples", RETAIN, *options) == 0
    stored = json.loads(output.read_text())
    assert stored["definitions"] == fingerprint("metrics")
    assert stored["metrics"]["forget_quality_d"] == 15 / 40
    low, high = stored["intervals"]["forget_probability"]
    assert low < stored["metrics"]["forget_probability"] < high
    assert "forget_quality" not in stored["intervals"]
    assert set(stored["metrics"]) | set(stored["absent"]) == {n for n, m in METRICS.items() if m.of("tofu")}
    values = pd.read_parquet(per_sample)
    assert list(values) == ["metric", "index", "value"]
    means = values.groupby("metric")["value"].mean()
    assert means["forget_probability"] == pytest.approx(stored["metrics"]["forget_probability"], rel=1e-12)
    again = tmp_path / "again.json"
    assert metrics("--samples", export, "--retain-samples", RETAIN, "--output", again) == 0
    assert json.loads(again.read_text())["metrics"] == stored["metrics"]


def test_metrics_json_says_that_the_rest_is_there(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    output, options = tmp_path / "m.json", ["--per-sample", tmp_path / "file/p.parquet"]
    assert metrics("--samples", TARGET, "--retain-samples", RETAIN, "--output", output, *options) == 2
    assert "p.parquet" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"file"}


def test_a_missing_retain_log_is_an_error_that_names_what_to_run(capsys):
    assert metrics("--samples", TARGET) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "score" in line and "--alone" in line
    assert metrics("--samples", RETAIN, "--alone") == 0
    out = capsys.readouterr().out
    assert "absent: forget_quality, forget_quality_d, mia_reference: no retain model to compare with" in out
    assert [line for line in out.splitlines() if line.startswith("privleak") and line.endswith("the same")]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text[: len(text) // 2], []),
        (lambda text: "{}", []),
        (lambda text: text.replace("0.8745002746582031", "NaN"), ["forget_Q_A_Prob", "NaN", "sample 0"]),
        (
            lambda text: text.replace('{"score":0.944444477558136}', '{"value":1}', 1),
            ["exact_memorization", "'0'", "score"],
        ),
        (lambda text: text.replace("2.627347946166992", '"high"', 1), ["forget_Q_A_PARA_Prob", "number"]),
    ],
)
def test_a_broken_log_is_one_line(tmp_path, capsys, change, words):
    broken = tmp_path / "TOFU_EVAL.json"
    broken.write_text(change(TARGET.read_text()))
    assert metrics("--samples", broken, "--retain-samples", RETAIN) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert all(word in line for word in [*words, str(broken)]), line


def test_a_log_of_another_split_or_benchmark_is_refused(tmp_path, capsys):
    other = json.loads(RETAIN.read_text())
    for entry in other.values():
        if isinstance(entry, dict) and entry.get("value_by_index"):
            entry["value_by_index"] = dict(list(entry["value_by_index"].items())[:20])
    path = tmp_path / "retain.json"
    path.write_text(json.dumps(other))
    assert metrics("--samples", TARGET, "--retain-samples", path) == 2
    assert str(path) in capsys.readouterr().err
    assert metrics("--samples", TARGET, "--retain-samples", MUSE) == 2
    assert str(MUSE) in capsys.readouterr().err
    assert metrics("--samples", TARGET, "--retain-samples", RETAIN, "--alone") == 2
    assert metrics("--samples", tmp_path / "nowhere.json", "--alone") == 2


LEAN = {
    "forget_truth_ratio": {"agg_value": 0.5, "value_by_index": {str(i): {"score": 0.1 + i / 50} for i in range(40)}}
}


def test_a_model_against_its_own_evidence_is_refused_unless_meant(tmp_path, capsys):
    """The file, a copy of it packed, an export of it, and the truth ratios of it alone: forget quality was 1 of each."""
    copy, export, lean = tmp_path / "copy.json.gz", tmp_path / "export.json", tmp_path / "lean.json"
    copy.write_bytes(gzip.compress(TARGET.read_bytes()))
    assert metrics("--samples", TARGET, "--retain-samples", RETAIN, "--output", tmp_path / "m", "--export", export) == 0
    entry = json.loads(export.read_text())["forget_truth_ratio"]
    lean.write_text(json.dumps({"forget_truth_ratio": entry}))
    for other in (TARGET, copy, export, lean):
        assert metrics("--samples", TARGET, "--retain-samples", other) == 2
        [line] = capsys.readouterr().err.splitlines()
        assert str(TARGET) in line and str(other) in line and "--itself" in line
    assert metrics("--samples", MUSE, "--retain-samples", MUSE) == 2
    assert "--itself" in capsys.readouterr().err
    output = tmp_path / "itself.json"
    for meant in (["--itself"], ["--run", "tofu--llama--forget01--retain"]):
        assert metrics("--samples", RETAIN, "--retain-samples", RETAIN, *meant, "--output", output) == 0
        assert json.loads(output.read_text())["metrics"]["forget_quality"] == 1
    original = ["--run", "tofu--llama--forget01--original"]
    assert metrics("--samples", RETAIN, "--retain-samples", RETAIN, *original, "--output", output) == 2


def test_a_log_of_truth_ratios_alone_is_a_retain_model(tmp_path, capsys):
    """D by hand: every truth ratio of the model's excerpt against those of the log."""
    lean, output = tmp_path / "lean.json", tmp_path / "m.json"
    lean.write_text(json.dumps(LEAN))
    assert metrics("--samples", TARGET, "--retain-samples", lean, "--output", output) == 0
    content = json.loads(TARGET.read_text())
    correct, wrong = (content[f"forget_Q_A_{name}_Prob"]["value_by_index"] for name in ("PARA", "PERT"))
    ours = [np.exp(-np.mean(wrong[i]["avg_loss"])) / (np.exp(-correct[i]["avg_loss"]) + 1e-10) for i in correct]
    theirs = [sample["score"] for sample in LEAN["forget_truth_ratio"]["value_by_index"].values()]
    stored = json.loads(output.read_text())
    assert stored["metrics"]["forget_quality"] == pytest.approx(ks_2samp(ours, theirs).pvalue, rel=1e-9)
    assert "lean.json" in stored["absent"]["privleak"] or "retain model's" in stored["absent"]["privleak"]
    assert metrics("--samples", lean, "--retain-samples", RETAIN) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines[1:] if not line.startswith("absent")} == {
        *("forget_quality", "forget_quality_d", "forget_truth_ratio")
    }
    assert not [line for line in lines if "no samples of forget (" in line or "no samples of section forget" in line]


def test_a_log_in_which_nothing_is_found_is_an_error(tmp_path, capsys):
    for content in (
        {"forget_quality": {"agg_value": 0.5}, "model_utility": {"agg_value": 0.6}},
        {"accuracy": {"agg_value": 0.5, "value_by_index": {"0": {"score": 1.0}}}},
    ):
        path = tmp_path / "TOFU_EVAL.json"
        path.write_text(json.dumps(content))
        assert metrics("--samples", path, "--alone") == 2
        [line] = capsys.readouterr().err.splitlines()
        assert str(path) in line
        assert metrics("--samples", TARGET, "--retain-samples", path) == 2
        [line] = capsys.readouterr().err.splitlines()
        assert str(path) in line
