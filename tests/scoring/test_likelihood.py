"""Prefixes, the pieces of the head, the reference."""

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import refused

from baldro import benchmarks as data
from baldro import scoring as score
from baldro.benchmarks import sections
from baldro.prompts.encode import Tokens, encode
from baldro.scoring.likelihood import common_prefix, likelihoods

ROWS = st.lists(
    st.tuples(st.lists(st.integers(2, 4), min_size=1, max_size=9), st.integers(1, 9)).map(
        lambda row: Tokens(ids=(0, *row[0]), start=min(row[1], len(row[0])))
    ),
    min_size=1,
    max_size=6,
)


@given(sequences=ROWS)
def test_a_common_prefix_is_common_and_leaves_the_last_prompt_token(sequences):
    n = common_prefix(sequences)
    assert len({s.ids[:n] for s in sequences}) == 1 and all(n < s.start for s in sequences)
    further = all(n + 1 < s.start for s in sequences) and len({s.ids[: n + 1] for s in sequences}) == 1
    assert n == 0 if len(sequences) == 1 else not further


@settings(max_examples=25)
@given(rows=st.lists(ROWS, min_size=1, max_size=4), tokens=st.sampled_from([1, 20, 60, 16384]))
def test_sharing_changes_nothing(pair, rows, tokens):
    """Any prompts and answers: alone, sharing a prefix of any length, ending at different places."""
    model, _ = pair
    sequences = [s for group in rows for s in group]
    questions = [q for q, group in enumerate(rows) for _ in group]
    made = {i: r for some, found in likelihoods(model, sequences, questions, batch_tokens=tokens)
            for i, r in zip(some, found, strict=True)}  # fmt: skip
    assert sorted(made) == list(range(len(sequences)))
    for i, sequence in enumerate(sequences):
        [alone] = score.token_statistics(model, [sequence])
        assert made[i]["tokens"] == alone["tokens"] == sequence.answer
        for name in ("logp", "mu", "sigma"):
            np.testing.assert_allclose(made[i][name], alone[name], atol=1e-5, rtol=0)
        assert made[i]["hit"].tolist() == alone["hit"].tolist()


def test_a_peaked_distribution_keeps_its_deviation():
    """log p near 0 for one token and -30 for the others: the mean of squares less the square of the mean would cancel."""
    from baldro.scoring.likelihood import _of_logits

    logits = torch.tensor([[30.0, 0.0, 1.0, -3.0], [0.1, 0.1, 0.1, 0.1001]])
    *_, sigma = _of_logits(logits, torch.tensor([0, 1]))
    logp = torch.log_softmax(logits.double(), -1)
    mu = (logp.exp() * logp).sum(-1, keepdim=True)
    exact = (logp.exp() * (logp - mu) ** 2).sum(-1).sqrt()
    np.testing.assert_allclose(sigma, exact, rtol=2e-3)


@pytest.mark.parametrize("tokens", [1, 16384])
def test_the_reference_is_the_evidence_summed(pair, prompt, tofu, tokens):
    model, tokenizer = pair
    rows = data.split(tofu, "forget10")
    sequences = encode(tokenizer, prompt, list(zip(rows["question"], rows["answer"], strict=True)), longest=512)
    frame = score.reference(model, sequences, batch_tokens=tokens)
    taken = score.evidence(model, tokenizer, prompt, tofu, split="forget10", max_new_tokens=1)
    gold = taken.query("section == 'forget' and candidate == 'answer'")
    assert (
        list(frame) == ["index", "sequence", "tokens", "logp", "token_logp"] and str(frame["logp"].dtype) == "float64"
    )
    assert frame["index"].tolist() == gold["index"].tolist() and frame["tokens"].tolist() == gold["tokens"].tolist()
    for ours, theirs in zip(frame["token_logp"], gold["logp"], strict=True):
        assert ours.dtype == np.float32 and ours.ndim == 1
        np.testing.assert_allclose(ours, theirs, atol=1e-5, rtol=1e-5)
    summed = [math.fsum(row.tolist()) for row in frame["token_logp"]]
    np.testing.assert_allclose(frame["logp"], summed, rtol=1e-14, atol=0)  # float32 sums would differ by 1e-7
    np.testing.assert_allclose(frame["logp"], gold["logp"].map(lambda x: x.astype("float64").sum()), rtol=1e-5)


def test_a_reference_that_is_no_number_is_refused(pair):
    broken = copy.deepcopy(pair[0])
    torch.nn.init.constant_(broken.model.norm.weight, math.nan)
    with refused("not-finite"):
        score.reference(broken, [Tokens(ids=(5, 6, 7), start=1)])


@pytest.mark.parametrize("tokens", [200, 1000])
def test_keys_and_values_in_memory_stay_within_the_limit(pair, prompt, tofu, tokens, monkeypatch):
    """Rows times positions of every pass, the prefixes that wait beside them included."""
    model, tokenizer = pair
    frame = score.candidates(tofu, sections(tofu, "forget10", "holdout10"), None)
    sequences = encode(tokenizer, prompt, list(zip(frame["question"], frame["text"], strict=True)), longest=512)
    waiting, most = 0, 0
    inner = model.model.forward

    def watched(input_ids, past_key_values=None, **options):
        nonlocal waiting, most
        before = past_key_values.get_seq_length() if past_key_values is not None else 0
        held = input_ids.shape[0] * (before + input_ids.shape[1])
        if past_key_values is not None and not before:
            waiting, held = held, 0
        most = max(most, held + (waiting if before else 0))
        return inner(input_ids=input_ids, past_key_values=past_key_values, **options)

    monkeypatch.setattr(model.model, "forward", watched)
    questions = list(zip(frame["section"], frame["index"], strict=True))
    list(likelihoods(model, sequences, questions, batch_tokens=tokens))
    assert 0 < most <= tokens
