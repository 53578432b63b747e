"""Evidence and continuations against transformers itself: one sequence at a time, whole logits, float64."""

import copy
import math

import numpy as np
import pandas as pd
import pytest
import torch

from baldro import data, models, score
from baldro.data.batches import by_length
from baldro.data.encode import Tokens, encode
from baldro.errors import BaldroError

PROMPT = "Q: {question}\n"
SMALL = dict(kind="fictional", authors=10, questions=2, known_authors=5, background_authors=2, world_facts=5)
SHAPE = dict(vocab_size=400, hidden_size=24, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2)
PER_TOKEN = ["logp", "hit", "mu", "sigma"]


@pytest.fixture(scope="module")
def records():
    return data.build({**SMALL, "forget": {"forget10": "retain90"}})


@pytest.fixture(scope="module")
def pair(records):
    """A model of large random weights: decided, so that argmax and rounding have nothing to do with each other."""
    model, tokenizer = models.build({**SHAPE, "initializer_range": 0.5}, records["answer"], seed=1)
    return model.eval(), tokenizer


def take(pair, records, **options):
    settled = dict(split="forget10", max_new_tokens=6) | options
    return score.evidence(*pair, PROMPT, records, **settled)


@pytest.fixture(scope="module")
def taken(pair, records):
    return take(pair, records)


def one_by_one(model, tokenizer, question, text):
    """The definitions, of one sequence. The prompt ends in a line break, which merges with nothing."""
    prompt = tokenizer(PROMPT.replace("{question}", question))["input_ids"]
    ids = [*tokenizer(PROMPT.replace("{question}", question) + text)["input_ids"], tokenizer.eos_token_id]
    assert ids[: len(prompt)] == prompt
    logits = model(input_ids=torch.tensor([ids])).logits[0, len(prompt) - 1 : -1]
    logp = torch.log_softmax(logits.double(), -1)
    p, answer = logp.exp(), torch.tensor(ids[len(prompt) :])
    mu = (p * logp).sum(-1)
    sigma = (p * (logp - mu[:, None]) ** 2).sum(-1).sqrt()
    return dict(logp=logp[range(len(answer)), answer], hit=logits.argmax(-1) == answer, mu=mu, sigma=sigma)


@torch.no_grad()
def test_evidence_is_what_the_definitions_say(pair, taken):
    model, tokenizer = pair
    exact = copy.deepcopy(model).double()
    for row in taken.iloc[::3].itertuples():
        expected = one_by_one(exact, tokenizer, row.question, row.text)
        for name in PER_TOKEN:
            np.testing.assert_allclose(getattr(row, name), expected[name].numpy(), atol=2e-4, err_msg=name)
        assert row.tokens == len(expected["logp"])
        assert row.avg_loss == pytest.approx(-float(expected["logp"].mean()), abs=1e-4)
    hits = np.concatenate(taken["hit"].tolist())
    assert 0 < hits.sum() < len(hits)  # both kinds were looked at


def test_rows_and_columns(taken, records):
    assert list(taken) == ["section", "index", "candidate", "question", "text", "tokens", "avg_loss", *PER_TOKEN,
                           "generation"]  # fmt: skip
    for name, dtype in dict(logp="float32", hit="bool", mu="float32", sigma="float32").items():
        assert (
            taken[name].map(lambda a, d=dtype: a.dtype == d).all() and (taken[name].map(len) == taken["tokens"]).all()
        )
    wrong = {section: {f"wrong_{j}" for j in range(n)} for section, n in
             dict(forget=5, retain=5, real_authors=3, world_facts=3).items()}  # fmt: skip
    for section, rows in taken.groupby("section"):
        extra = {"paraphrase"} if section in ("forget", "retain") else set()
        assert set(rows["candidate"]) == {"answer", *extra, *wrong[section]}
        assert not rows.duplicated(["index", "candidate"]).any()
    gold = taken[taken["candidate"] == "answer"]
    assert gold["generation"].map(type).eq(str).all() and taken.drop(gold.index)["generation"].isna().all()
    forget = gold[gold["section"] == "forget"]
    assert forget["text"].tolist() == data.split(records, "forget10")["answer"].tolist()


@pytest.mark.parametrize("tokens", [1, 150])
def test_batches_and_order_do_not_matter(pair, records, taken, tokens):
    shuffled = records.sample(frac=1, random_state=3)
    other = take(pair, shuffled, batch_tokens=tokens)
    pd.testing.assert_frame_equal(
        other.drop(columns=[*PER_TOKEN, "avg_loss"]), taken.drop(columns=[*PER_TOKEN, "avg_loss"])
    )
    np.testing.assert_allclose(other["avg_loss"], taken["avg_loss"], rtol=1e-4)
    for name in PER_TOKEN:
        np.testing.assert_allclose(
            np.concatenate(other[name].tolist()), np.concatenate(taken[name].tolist()), atol=1e-3
        )


def test_the_head_in_pieces_is_the_head(pair, taken, records, monkeypatch):
    monkeypatch.setattr(score, "HEAD_ELEMENTS", 5 * 400)  # five positions at a time
    other = take(pair, records)
    np.testing.assert_allclose(
        np.concatenate(other["logp"].tolist()), np.concatenate(taken["logp"].tolist()), atol=1e-3
    )


def test_evaluate_rows_are_the_first_of_each_section(pair, records, taken):
    few = take(pair, records, evaluate_rows=1)
    assert set(few["index"]) == {0} and set(few["section"]) == set(taken["section"])
    expected = taken[taken["index"] == 0].reset_index(drop=True)
    assert few[["section", "candidate", "text"]].equals(expected[["section", "candidate", "text"]])


def test_generation_is_the_decoded_continuation(pair, taken):
    model, tokenizer = pair
    for row in taken[taken["candidate"] == "answer"].iloc[::4].itertuples():
        prompt = tokenizer(PROMPT.replace("{question}", row.question))["input_ids"]
        ids = theirs(model, prompt, eos=tokenizer.eos_token_id, n=6)
        assert row.generation == tokenizer.decode(ids, skip_special_tokens=True).strip()


def theirs(model, prompt, *, eos, n):
    """transformers' greedy search of one prompt, without padding."""
    ids = torch.tensor([prompt])
    made = model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=n, eos_token_id=eos, pad_token_id=0
    )[0, len(prompt) :].tolist()  # fmt: skip
    return made[: made.index(eos)] if eos in made else made


PROMPTS = [[5, 9, 13], [7], [30, 31, 32, 33, 34, 35, 36, 37, 38], [50, 60, 70, 80], [90, 11]]


@pytest.mark.parametrize("n", [1, 12])
def test_greedy_continuations_are_those_of_transformers(pair, n):
    """One token that some rows make in the middle is taken as the end of sequence, so that rows leave the batch at different times."""
    model, _ = pair
    free = [theirs(model, prompt, eos=399, n=12) for prompt in PROMPTS]
    eos = next(
        t for row in free for t in row[2:8] if all(other[0] != t for other in free) and any(t not in o for o in free)
    )
    expected = [theirs(model, prompt, eos=eos, n=n) for prompt in PROMPTS]
    assert score.generate(model, PROMPTS, eos=eos, max_new_tokens=n) == expected
    if n == 12:
        lengths = set(map(len, expected))
        assert len(lengths) > 1 and max(lengths) == 12 and min(lengths) > 0
    for prompt, row in zip(PROMPTS, expected, strict=True):
        assert score.generate(model, [prompt], eos=eos, max_new_tokens=n) == [row]


def test_a_row_that_ends_at_once_is_empty(pair):
    model, _ = pair
    first = theirs(model, PROMPTS[2], eos=399, n=1)[0]
    assert score.generate(model, PROMPTS, eos=first, max_new_tokens=3)[2] == []
    assert score.generate(model, [PROMPTS[2]], eos=first, max_new_tokens=3) == [[]]


@pytest.mark.parametrize("tokens", [1, 16384])
def test_the_reference_is_the_evidence_summed(pair, records, taken, tokens):
    model, tokenizer = pair
    rows = data.split(records, "forget10")
    sequences = encode(tokenizer, PROMPT, list(zip(rows["question"], rows["answer"], strict=True)), longest=512)
    frame = score.reference(model, sequences, batch_tokens=tokens)
    gold = taken.query("section == 'forget' and candidate == 'answer'")
    assert list(frame) == ["index", "tokens", "logp"] and str(frame["logp"].dtype) == "float64"
    assert frame["index"].tolist() == gold["index"].tolist() and frame["tokens"].tolist() == gold["tokens"].tolist()
    np.testing.assert_allclose(frame["logp"], gold["logp"].map(lambda x: x.astype("float64").sum()), rtol=1e-5)


def broken(pair):
    model, tokenizer = pair
    other = copy.deepcopy(model)
    torch.nn.init.constant_(other.model.norm.weight, math.nan)
    return other, tokenizer


def test_weights_that_are_no_numbers_are_refused(pair, records):
    with pytest.raises(BaldroError, match="no number; allowed: a model with finite weights"):
        take(broken(pair), records, evaluate_rows=1, max_new_tokens=1)


def test_a_reference_that_is_no_number_is_refused(pair):
    with pytest.raises(BaldroError, match="no number"):
        score.reference(broken(pair)[0], [Tokens(ids=(5, 6, 7), start=1)])


def test_padded_tokens_stay_within_the_limit():
    sequences = [Tokens(ids=(1,) * n, start=1) for n in (3, 50, 7, 8, 9, 20, 21)]
    batches = by_length(sequences, tokens=40, at_most=3)
    assert sorted(i for batch in batches for i in batch) == list(range(7)) and batches[0] == [1]
    for batch in batches:
        assert len(batch) <= 3
        assert len(batch) == 1 or len(batch) * max(len(sequences[i].ids) for i in batch) <= 40
