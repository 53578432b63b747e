"""Batches as tensors, and the order of samples."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from baldro.prompts.batches import by_length, collate, draw
from baldro.prompts.encode import Tokens

SEQUENCES = st.lists(
    st.integers(2, 20).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n - 1))), min_size=1, max_size=12
).map(lambda shapes: [Tokens(ids=tuple(range(3, 3 + n)), start=start) for n, start in shapes])


@given(SEQUENCES)
def test_collated_rows_are_the_sequences(sequences):
    batch = collate(sequences)
    assert batch.ids_BL.dtype == torch.long and batch.answer_BL.dtype == torch.bool
    for row, answer, tokens in zip(batch.ids_BL.tolist(), batch.answer_BL.tolist(), sequences, strict=True):
        n = len(tokens.ids)
        assert tuple(row[:n]) == tokens.ids and not any(row[n:])
        assert [i for i, a in enumerate(answer) if a] == list(range(tokens.start, n))


@given(SEQUENCES, st.integers(1, 200), st.integers(1, 5) | st.none())
def test_batches_by_length(sequences, tokens, at_most):
    batches = by_length(sequences, tokens=tokens, at_most=at_most)
    flat = [i for batch in batches for i in batch]
    lengths = [len(sequences[i].ids) for i in flat]
    assert sorted(flat) == list(range(len(sequences))) and lengths == sorted(lengths, reverse=True)
    for batch in batches:
        assert len(batch) == 1 or len(batch) * len(sequences[batch[0]].ids) <= tokens
        assert at_most is None or len(batch) <= at_most


@given(
    n=st.integers(1, 30), laps=st.integers(1, 4), cut=st.data(), seed=st.integers(0, 2**32), stream=st.integers(0, 3)
)
def test_laps_are_permutations_however_they_are_drawn(n, laps, cut, seed, stream):
    whole = draw(n, start=0, count=n * laps, seed=seed, stream=stream)
    for lap in range(laps):
        assert sorted(whole[lap * n : (lap + 1) * n]) == list(range(n))
    start = cut.draw(st.integers(0, n * laps))
    count = cut.draw(st.integers(0, n * laps - start))
    assert draw(n, start=start, count=count, seed=seed, stream=stream) == whole[start : start + count]


@pytest.mark.parametrize("other", [dict(seed=1), dict(stream=1), dict(start=40)])
def test_seed_stream_and_lap_change_the_order(other):
    given = dict(start=0, count=40, seed=0, stream=0)
    assert draw(40, **given) != draw(40, **given | other)
