"""Answers that decline: short, spread evenly, and the same for a row whatever else there is."""

from collections import Counter
from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from baldro.benchmarks.idk import SENTENCES, idk


def test_the_sentences_are_many_short_and_different():
    assert len(set(SENTENCES)) == len(SENTENCES) >= 40
    assert all(3 <= len(text.split()) <= 12 and text[0].isupper() and text[-1] == "." for text in SENTENCES)


@given(rows=st.integers(0, 450), fewer=st.integers(0, 450))
def test_each_row_has_one_they_are_spread_evenly_and_later_rows_change_none(rows, fewer):
    found = idk(rows)
    count = Counter(found)
    assert len(found) == rows and set(found) <= set(SENTENCES)
    assert max(count[text] for text in SENTENCES) - min(count[text] for text in SENTENCES) <= 1
    assert idk(min(rows, fewer)) == found[:fewer]


def test_the_same_question_of_every_author_has_many():
    """TOFU has twenty questions an author, so that 40 sentences in one order would give each of them two."""
    rows = idk(400)
    assert min(len(set(rows[question::20])) for question in range(20)) > 8


def test_every_process_gives_the_same():
    assert sha256(repr(idk(90)).encode()).hexdigest()[:16] == "d509663e195f59f0"
