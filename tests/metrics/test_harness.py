"""Metrics of tasks of lm-evaluation-harness: from the rows of evidence alone, without that package."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from baldro.metrics import METRICS, evaluate, find, from_samples, intervals, shown
from baldro.metrics.metric import COMPARISON, MAIN, SECOND
from baldro.records import evidence
from baldro.stats import bootstrap_mean

NAME, OTHER = "lm_eval_gsm8k", "lm_eval_truthfulqa_gen_bleu_max"


def test_they_are_means_with_an_interval_after_the_benchmarks_own(make_samples):
    evidence_of = from_samples(make_samples(), where="ours")
    scores = {NAME: pd.Series([0.0] * 20), OTHER: pd.Series(np.linspace(-3, 40, 20))}
    without = evaluate(evidence_of, None, alone=True)
    results = evaluate(replace(evidence_of, scores=scores), None, alone=True)
    assert list(results.values) == [*without.values, NAME, OTHER] and results.absent == without.absent
    assert [results.values[name].value for name in (NAME, OTHER)] == [0, pytest.approx(18.5)]
    ends = intervals(results.values)
    for name, within in ((NAME, (0, 1)), (OTHER, None)):
        expected = bootstrap_mean(scores[name], seed=0, within=within)
        assert ends[name] == (expected.low, expected.high)
    assert ends[NAME][1] > 0, "twenty wrong answers do not say that there are no right ones"
    kept = results.per_sample().query("metric == @NAME")
    assert kept["value"].tolist() == [0.0] * 20


def test_names_are_found_and_not_listed():
    metric = find(NAME)
    assert (metric.short, metric.better, metric.paired.names) == ("gsm8k", "up", (NAME,))
    assert NAME not in METRICS and find("gsm8k") is None
    among = ["model_utility", NAME]
    assert NAME in shown(MAIN, among) and shown(COMPARISON, among) == among and NAME not in shown(SECOND, among)


def test_their_rows_stand_in_the_evidence_and_are_no_samples_of_it(tmp_path, make_samples):
    frame = make_samples().assign(sequence="0123", end=1)
    answers = pd.DataFrame(
        {"metric": [NAME, NAME, OTHER], "index": [0, 1, 0], "question": ["a", "b", "c"], "text": ["1", "2", "3"],
         "generation": [None, "2", None], "score": [0.0, 1.0, 4.5]}
    )  # fmt: skip
    evidence.write(tmp_path / "samples.parquet", evidence.with_scores(frame, answers))
    evidence.write(tmp_path / "plain.parquet", frame)
    read = evidence.read(tmp_path / "samples.parquet")
    plain = evidence.read(tmp_path / "plain.parquet")
    pd.testing.assert_frame_equal(read, plain)
    assert read.attrs == plain.attrs
    assert {name: s.to_dict() for name, s in evidence.scores(tmp_path / "samples.parquet").items()} == {
        NAME: {0: 0.0, 1: 1.0}, OTHER: {0: 4.5},
    }  # fmt: skip
    assert evidence.scores(tmp_path / "plain.parquet") == {}
