import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baldro.errors import BaldroError
from baldro.metrics.rouge import rouge_l_recall

relaxed = settings(deadline=None, max_examples=50)  # first calls load packages, on machines of any speed

STEMS = ["blue", "rain", "fog", "tram", "zinc"]  # the stemmer leaves them equal to themselves alone
WORDS = st.lists(st.sampled_from(STEMS), min_size=1, max_size=8)
SECTIONS = ["forget_Q_A_ROUGE", "retain_Q_A_ROUGE", "ra_Q_A_ROUGE", "wf_Q_A_ROUGE"]


@pytest.mark.parametrize("name", ["full, forget01", "retain99"])
@pytest.mark.parametrize("metric", SECTIONS)
def test_published_pairs_to_the_bit(rouge_texts, logs, name, metric):
    rows = rouge_texts[name][metric]
    rows = [rows[str(i)] for i in range(len(rows))]
    ours = rouge_l_recall([row["ground_truth"] for row in rows], [row["generation"] for row in rows])
    assert ours.tolist() == [row["rougeL_recall"] for row in rows]
    assert np.mean(ours) == logs[name].aggregate(metric)


@pytest.mark.parametrize("metric", SECTIONS)
def test_published_means_to_the_bit(tofu_log, metric):
    assert np.mean(tofu_log.values(metric, "rougeL_recall")) == tofu_log.aggregate(metric)


def longest_common_subsequence(a, b):
    if not a or not b:
        return 0
    if a[0] == b[0]:
        return 1 + longest_common_subsequence(a[1:], b[1:])
    return max(longest_common_subsequence(a[1:], b), longest_common_subsequence(a, b[1:]))


@relaxed
@given(WORDS, WORDS)
def test_against_the_definition(reference, generation):
    expected = longest_common_subsequence(reference, generation) / len(reference)
    assert rouge_l_recall([" ".join(reference)], [" ".join(generation)])[0] == expected


def test_empty_and_wordless_score_nothing():
    assert rouge_l_recall(["Paris", "Paris", "..."], ["", "!?", "Paris"]).tolist() == [0.0, 0.0, 0.0]


def test_the_stem_counts():
    assert rouge_l_recall(["he writes novels"], ["he wrote a novel"]).tolist() == [2 / 3]


def test_errors():
    with pytest.raises(BaldroError, match="2 references and 1 generations"):
        rouge_l_recall(["a", "b"], ["a"])
    with pytest.raises(BaldroError, match="no text at position 1"):
        rouge_l_recall(["a", "b"], ["a", None])
