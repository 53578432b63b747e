from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from baldro.errors import BaldroError
from baldro.metrics.rouge import KINDS, rouge

STEMS = ["blue", "rain", "fog", "tram", "zinc"]  # the stemmer leaves them equal to themselves alone
WORDS = st.lists(st.sampled_from(STEMS), min_size=1, max_size=8)
SECTIONS = ["forget_Q_A_ROUGE", "retain_Q_A_ROUGE", "ra_Q_A_ROUGE", "wf_Q_A_ROUGE"]


PUBLISHED_KINDS = ["rouge1_recall", "rougeL_recall", "rougeL_f1"]


@pytest.mark.parametrize("name", ["full, forget01", "retain99"])
@pytest.mark.parametrize("metric", SECTIONS)
def test_published_pairs_to_the_bit(rouge_texts, logs, name, metric):
    rows = rouge_texts[name][metric]
    rows = [rows[str(i)] for i in range(len(rows))]
    ours = rouge([row["ground_truth"] for row in rows], [row["generation"] for row in rows])
    for kind in PUBLISHED_KINDS:
        assert ours[kind].tolist() == [row[kind] for row in rows] == logs[name].values(metric, kind).tolist()
    assert np.mean(ours["rougeL_recall"]) == logs[name].aggregate(metric)


def test_all_1314_pairs_are_there(rouge_texts):
    assert sum(len(rows) for metrics in rouge_texts.values() for rows in metrics.values()) == 1314
    assert all(set(metrics) == set(SECTIONS) for metrics in rouge_texts.values())


@pytest.mark.parametrize("metric", SECTIONS)
def test_published_means_to_the_bit(tofu_log, metric):
    assert np.mean(tofu_log.values(metric, "rougeL_recall")) == tofu_log.aggregate(metric)


@pytest.mark.parametrize("metric", ["forget_knowmem_ROUGE", "retain_knowmem_ROUGE", "forget_verbmem_ROUGE"])
@pytest.mark.parametrize("name", ["news, target", "news, retrain"])
def test_muse_reports_f1(logs, name, metric):
    assert np.mean(logs[name].values(metric, "rougeL_f1")) == logs[name].aggregate(metric)


def longest_common_subsequence(a, b):
    if not a or not b:
        return 0
    if a[0] == b[0]:
        return 1 + longest_common_subsequence(a[1:], b[1:])
    return max(longest_common_subsequence(a[1:], b), longest_common_subsequence(a, b[1:]))


@given(WORDS, WORDS)
def test_against_the_definitions(reference, generation):
    ours = {kind: values[0] for kind, values in rouge([" ".join(reference)], [" ".join(generation)]).items()}
    assert tuple(ours) == KINDS
    shared = {
        "rouge1": sum((Counter(reference) & Counter(generation)).values()),
        "rougeL": longest_common_subsequence(reference, generation),
    }
    for which, count in shared.items():
        assert ours[f"{which}_recall"] == count / len(reference)
        assert ours[f"{which}_f1"] == pytest.approx(2 * count / (len(reference) + len(generation)), rel=1e-12)


@given(WORDS, WORDS)
def test_swapping_the_two_leaves_f1(one, other):
    there, back = (rouge([" ".join(a)], [" ".join(b)]) for a, b in ((one, other), (other, one)))
    for kind in ("rouge1_f1", "rougeL_f1"):
        assert there[kind][0] == pytest.approx(back[kind][0], rel=1e-12)


def test_a_repeated_word_counts_as_often_as_the_reference_has_it():
    scores = rouge(["rain rain fog"], ["rain rain rain"])
    assert scores["rouge1_recall"].tolist() == scores["rouge1_f1"].tolist() == [2 / 3]


def test_empty_and_wordless_score_nothing():
    for values in rouge(["Paris", "Paris", "..."], ["", "!?", "Paris"]).values():
        assert values.tolist() == [0.0, 0.0, 0.0]


def test_case_and_punctuation_do_not_count():
    assert all(values.tolist() == [1.0] for values in rouge(["It is Paris."], ["it is, PARIS"]).values())


def test_the_stem_counts():
    assert rouge(["he writes novels"], ["he wrote a novel"])["rougeL_recall"].tolist() == [2 / 3]


def test_errors():
    with pytest.raises(BaldroError, match="2 references and 1 generations"):
        rouge(["a", "b"], ["a"])
    for spoilt in (None, 3, float("nan")):
        with pytest.raises(BaldroError, match="no text at position 1"):
            rouge(["a", "b"], ["a", spoilt])
        with pytest.raises(BaldroError, match="no text at position 0"):
            rouge([spoilt, "b"], ["a", "b"])
