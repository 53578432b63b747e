"""Continuations against transformers' own greedy search, one prompt at a time, without padding."""

import pytest
import torch

from baldro import scoring as score
from baldro.scoring import generation

PROMPTS = [[5, 9, 13], [7], [30, 31, 32, 33, 34, 35, 36, 37, 38], [50, 60, 70, 80], [90, 11]]


def theirs(model, prompt, *, eos, n):
    ids = torch.tensor([prompt])
    made = model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=n, eos_token_id=eos, pad_token_id=0
    )[0, len(prompt) :].tolist()  # fmt: skip
    ending = [eos] if isinstance(eos, int) else eos
    return made[: next((t for t, token in enumerate(made) if token in ending), len(made))]


def middle(model):
    """A token that some rows make in the middle, so that rows leave the batch at different times."""
    free = [theirs(model, prompt, eos=399, n=12) for prompt in PROMPTS]
    return next(
        t for row in free for t in row[2:8] if all(other[0] != t for other in free) and any(t not in o for o in free)
    )


@pytest.mark.parametrize("n", [1, 12])
def test_greedy_continuations_are_those_of_transformers(pair, n):
    model, _ = pair
    eos = middle(model)
    expected = [theirs(model, prompt, eos=eos, n=n) for prompt in PROMPTS]
    assert score.generate(model, PROMPTS, eos=eos, max_new_tokens=n) == expected
    if n == 12:
        lengths = set(map(len, expected))
        assert len(lengths) > 1 and max(lengths) == 12 and min(lengths) > 0
    for prompt, row in zip(PROMPTS, expected, strict=True):
        assert score.generate(model, [prompt], eos=eos, max_new_tokens=n) == [row]


def test_any_of_several_tokens_ends_a_row(pair):
    model, _ = pair
    both = [middle(model), theirs(model, PROMPTS[0], eos=399, n=4)[3]]
    expected = [theirs(model, prompt, eos=both, n=12) for prompt in PROMPTS]
    assert score.generate(model, PROMPTS, eos=both, max_new_tokens=12) == expected


def test_a_row_that_ends_at_once_is_empty(pair):
    model, _ = pair
    first = theirs(model, PROMPTS[2], eos=399, n=1)[0]
    assert score.generate(model, PROMPTS, eos=first, max_new_tokens=3)[2] == []
    assert score.generate(model, [PROMPTS[2]], eos=first, max_new_tokens=3) == [[]]


def test_a_finished_row_leaves_and_the_others_go_on(pair):
    model, _ = pair
    whole = [theirs(model, prompt, eos=399, n=12) for prompt in PROMPTS]
    stop = whole[1][4]
    made = score.generate(model, PROMPTS, eos=399, max_new_tokens=12, finished=lambda row: row[-1] == stop)
    assert made == [row[: row.index(stop) + 1] if stop in row else row for row in whole]
    assert len(made[1]) <= 5 and max(map(len, made)) == 12


def test_the_ends_of_a_model(pair):
    model, tokenizer = pair
    assert generation.ends(model, tokenizer) == {tokenizer.eos_token_id}
    named = model.generation_config.eos_token_id
    try:
        model.generation_config.eos_token_id = [7, 9]
        assert generation.ends(model, tokenizer) == {tokenizer.eos_token_id, 7, 9}
    finally:
        model.generation_config.eos_token_id = named


@pytest.mark.parametrize(
    "text, expected",
    [
        ("", ""),
        (" Paris \n", "Paris"),
        ("\n\nParis", ""),
        ("Paris\nQuestion: who\n\nx", "Paris"),
        ("Paris Question: who", "Paris"),
        ("Paris\n Question", "Paris\n Question"),
    ],
)
def test_cutting(text, expected):
    assert generation.cut(text, ("\n\n", "\nQuestion", "Question:")) == expected


def test_a_row_waits_until_a_longer_stop_string_is_settled(pair):
    """ "st" is complete before "east of" is, which begins earlier and decides."""
    _, tokenizer = pair
    finished = generation.stopped(tokenizer, ("st", "east of"))
    text = "in the east of it"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    early = [n for n in range(1, len(ids) + 1) if finished(ids[:n])]
    assert early and all(generation.cut(tokenizer.decode(ids[:n]), ("st", "east of")) == "in the" for n in early)
    assert generation.stopped(tokenizer, ()) is None
