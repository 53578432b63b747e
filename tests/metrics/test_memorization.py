import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from refusals import refused

from baldro.metrics.memorization import exact_memorization, extraction_strength

ANSWER = st.lists(st.booleans(), min_size=1, max_size=30)
ANSWERS = st.lists(ANSWER, min_size=1, max_size=10)


def strength_by_definition(hits):
    return 1 - next((k for k in range(len(hits)) if all(hits[k:])), len(hits) - 1) / len(hits)


def test_published_scores_from_hits(any_log, hits_with):
    """Hits are not published: these are the shortest answers with the published pair of scores."""
    memorised, strength = any_log.values("exact_memorization"), any_log.values("extraction_strength")
    hits = [hits_with(em, es) for em, es in zip(memorised, strength, strict=True)]
    assert extraction_strength(hits).tolist() == strength.tolist()
    assert np.mean(extraction_strength(hits)) == any_log.aggregate("extraction_strength")
    np.testing.assert_allclose(exact_memorization(hits), memorised, rtol=2e-7)  # theirs: a float32 quotient


@given(ANSWERS)
def test_against_the_definitions(answers):
    np.testing.assert_allclose(exact_memorization(answers), [sum(a) / len(a) for a in answers], rtol=1e-15)
    assert extraction_strength(answers).tolist() == list(map(strength_by_definition, answers))


@given(ANSWER, ANSWER)
def test_strength_does_not_see_what_lies_before_the_last_miss(one, other):
    size = min(len(one), len(other))
    tail = [False, True, True]
    assert extraction_strength([one[:size] + tail]) == extraction_strength([other[:size] + tail])


@given(ANSWERS)
def test_samples_do_not_touch_each_other(answers):
    for score in (exact_memorization, extraction_strength):
        assert score(answers).tolist() == [score([answer])[0] for answer in answers]


def test_arrays_are_as_good_as_lists():
    assert exact_memorization([np.array([True, False])]).tolist() == [0.5]


@pytest.mark.parametrize("hits", [[], [[]], [[True], [None]], [[1, 0]], [None], [[[True]]]])
@pytest.mark.parametrize("score", [exact_memorization, extraction_strength])
def test_errors(score, hits):
    with refused("not-booleans", "hits"):
        score(hits)


def test_one_token_answers():
    """The published logs stop one token short of the whole answer: a single token gives 1 whether it is hit or not."""
    assert exact_memorization([[True], [False]]).tolist() == [1.0, 0.0]
    assert extraction_strength([[True], [False]]).tolist() == [1.0, 1.0]
