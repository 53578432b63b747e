import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from refusals import refused

from baldro.metrics.collapse import NGRAM, length, repetition

WORDS = st.lists(st.sampled_from(["no", "yes", "maybe"]), max_size=20)


@given(st.lists(WORDS, min_size=1, max_size=5), st.integers(1, 5))
def test_against_the_definitions(answers, n):
    texts = [" ".join(words) for words in answers]
    assert length(texts).tolist() == [len(words) for words in answers]
    for words, ours in zip(answers, repetition(texts, n=n), strict=True):
        grams = [" ".join(words[start : start + n]) for start in range(len(words)) if start + n <= len(words)]
        seen, again = [], 0
        for gram in grams:
            again += gram in seen
            seen.append(gram)
        assert ours == pytest.approx(again / len(grams) if grams else 0.0)
        assert 0 <= ours < 1


@given(st.integers(4, 60))
def test_one_word_over_and_over_tends_to_one(n):
    assert repetition(["no " * n]).tolist() == [1 - 1 / (n - 3)]


def test_four_words_a_gram_and_too_few_say_nothing_twice():
    assert NGRAM == 4
    assert repetition(["no no no", "no no no no", "no no no no no", "", " \n\t "]).tolist() == [0.0, 0.0, 0.5, 0.0, 0.0]


def test_a_loop_of_different_words():
    """Twelve words, a loop of three: nine 4-grams, three of them different."""
    assert repetition(["la di da " * 4]).tolist() == [1 - 3 / 9]


def test_white_space_of_any_kind_is_one_gap():
    assert length(["  two\n\nwords ", "", " ", "one"]).tolist() == [2.0, 0.0, 0.0, 1.0]
    assert repetition(["a b\tc  d\na b c d"]).tolist() == repetition(["a b c d a b c d"]).tolist() == [1 - 4 / 5]


def test_nothing_in_nothing_out():
    assert repetition([]).shape == length([]).shape == (0,)
    assert repetition([]).dtype == length([]).dtype == np.float64


@pytest.mark.parametrize("spoilt", [None, 3, float("nan"), b"bytes"])
@pytest.mark.parametrize("score", [repetition, length])
def test_anything_but_text_is_refused_by_its_position(score, spoilt):
    with refused("not-a-text", "position 1"):
        score(["a", spoilt])


def test_no_grams_of_no_words():
    with refused("number-out-of-range", "n = 0"):
        repetition(["a"], n=0)


def test_scripts_without_spaces_between_words():
    """One word for a whole sentence would never repeat itself, and always be of length 1."""
    texts = ["我不知道。我不知道。我不知道。", "ไม่ไม่ไม่ไม่ไม่ไม่", "「你好」，Ann!", "Он не знает, нет", "Zoë’s naïve"]
    assert length(texts).tolist() == [12, 12, 3, 4, 2]
    assert repetition(texts)[0] == pytest.approx(1 - 4 / 9)
    assert repetition(texts)[1] == pytest.approx(1 - 2 / 9)
