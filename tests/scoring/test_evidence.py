"""The whole table against the definitions, written plainly; whatever the batch, and with a model of another kind."""

import copy
import math
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch
from refusals import refused
from transformers import MambaConfig, MambaForCausalLM, MistralConfig, MistralForCausalLM

from baldro import scoring as score
from baldro.benchmarks import KINDS
from baldro.models import token_logp
from baldro.prompts.batches import collate
from baldro.prompts.encode import Tokens, encode
from baldro.scoring import likelihood
from baldro.scoring.decoder import Decoder

COLUMNS = [
    *("section", "index", "candidate", "question", "text", "tokens", "end", "avg_loss", "logp", "hit", "mu", "sigma"),
    *("gradient_norm", "generation", "clean", "sequence"),
]
TYPES = dict(logp="float32", hit="bool", mu="float32", sigma="float32")
EXACT = ["section", "index", "candidate", "question", "text", "tokens", "end", "generation"]


@pytest.fixture(scope="module", params=["tofu", "muse"])
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def records(request, kind):
    return request.getfixturevalue(kind)


@pytest.fixture(scope="module")
def whole(request, pair, prompt):
    """Kind -> all of its evidence, taken once."""
    return cache(lambda kind: take(pair, prompt, request.getfixturevalue(kind)))


def held(records):
    """What is held out for forget10: a benchmark of running text has a section of its own."""
    return None if "verbmem" in set(records["split"]) else "holdout10"


def take(pair, prompt, records, **options):
    settled = dict(split="forget10", holdout=held(records), max_new_tokens=6)
    return score.evidence(*pair, prompt, records, **settled | options)


def same(taken, expected, tolerance=1e-5):
    """Texts and counts exactly, numbers within the tolerance."""
    assert len(taken) == len(expected)
    for row, other in zip(taken.to_dict("records"), expected, strict=True):
        where = (row["section"], row["index"], row["candidate"])
        assert {k: row[k] for k in EXACT} == {k: other[k] for k in EXACT}
        np.testing.assert_allclose(row["avg_loss"], other["avg_loss"], atol=tolerance, rtol=0, err_msg=str(where))
        assert row["hit"].tolist() == list(other["hit"]), where
        for name in ("logp", "mu", "sigma"):
            np.testing.assert_allclose(row[name], other[name], atol=tolerance, rtol=0, err_msg=f"{where} {name}")


def test_the_table_is_what_the_definitions_say(whole, kind, pair, prompt, records, plain):
    taken = whole(kind)
    same(taken, plain(*pair, prompt, records, split="forget10", holdout=held(records), max_new_tokens=6))
    hits = np.concatenate(taken["hit"].tolist())
    assert hits.sum() < len(hits)
    assert hits.any() or "verbmem" in set(records["split"])  # both kinds were looked at


@pytest.fixture(scope="module")
def knowing(pair, prompt, tofu):
    """The model, after it has learnt some answers by heart, and the beginning of others."""
    model, tokenizer = copy.deepcopy(pair[0]), pair[1]
    rows = tofu[tofu["split"].isin(["retain_perturbed", "forget10_perturbed"])].groupby("split").head(8)
    sequences = encode(tokenizer, prompt, list(zip(rows["question"], rows["answer"], strict=True)), longest=512)
    begun = [Tokens(ids=s.ids[: s.start + 2], start=s.start) for s in sequences]
    sequences = [
        b if part else s for s, b, part in zip(sequences, begun, rows["split"] != "retain_perturbed", strict=True)
    ]
    batch = collate(sequences, torch.device("cpu"))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(80):
        logp_BT, mask_BT = token_logp(model, batch)
        (-logp_BT[mask_BT].mean()).backward()
        optimizer.step()
        optimizer.zero_grad()
    return model, tokenizer


@pytest.mark.parametrize("new", [3, 40])
def test_what_the_likelihoods_have_read_is_not_generated_again(knowing, prompt, tofu, plain, monkeypatch, new):
    """Answers known by heart take no pass, others begin where the model leaves the answer; every text is transformers' own."""
    read = []

    def counted(self, rows, cache, **options):
        read.extend(rows)
        return inner(self, rows, cache, **options)

    inner = Decoder._pass
    monkeypatch.setattr(Decoder, "_pass", counted)
    taken = take(knowing, prompt, tofu, max_new_tokens=new)
    same(taken, plain(*knowing, prompt, tofu, split="forget10", holdout="holdout10", max_new_tokens=new))
    generated = taken[taken["generation"].notna()]
    known, begun = (generated["hit"].map(of) for of in (all, lambda hit: hit[0] and not hit.all()))
    assert begun.any() and 8 <= known.sum() < len(known) and len({id(row) for row in read}) <= (~known).sum()


@pytest.mark.parametrize("tokens", [1, 150])
def test_batches_and_order_do_not_matter(whole, kind, pair, prompt, records, tokens):
    other = take(pair, prompt, records.sample(frac=1, random_state=3), batch_tokens=tokens)
    same(other, whole(kind).to_dict("records"))


def test_the_head_in_pieces_is_the_head(whole, pair, prompt, tofu, monkeypatch):
    taken = whole("tofu")
    monkeypatch.setattr(likelihood, "CPU_HEAD", 12 * 400)  # twelve positions at a time, and of these five
    monkeypatch.setattr(likelihood, "CPU_ELEMENTS", 5 * 400)
    same(take(pair, prompt, tofu), taken.to_dict("records"))


def test_columns_and_types(whole, kind):
    taken = whole(kind)
    assert list(taken) == COLUMNS and taken["clean"].isna().all() and taken["gradient_norm"].isna().all()
    assert str(taken["avg_loss"].dtype) == "float64" and str(taken["tokens"].dtype) == "int64"
    for name, dtype in TYPES.items():
        assert taken[name].map(lambda a, d=dtype: a.dtype == d).all()
        assert (taken[name].map(len) == taken["tokens"]).all()
    silent = taken["tokens"] == 0
    assert (taken["avg_loss"].isna() == silent).all() and not taken.loc[silent, "end"].any()
    assert not taken.duplicated(["section", "index", "candidate"]).any()
    made = taken["generation"].notna()
    assert (taken.loc[made, "candidate"] == "answer").all() and taken.loc[~made, "generation"].map(type).eq(
        type(None)
    ).all()


def test_it_can_be_stored(whole, kind, tmp_path):
    taken = whole(kind)
    taken.to_parquet(tmp_path / "samples.parquet")
    again = pd.read_parquet(tmp_path / "samples.parquet").assign(generation=taken["generation"])
    assert list(again) == COLUMNS
    same(again, taken.to_dict("records"), tolerance=0)


def test_sections_and_candidates_of_tofu(whole, pair, prompt, tofu):
    taken = whole("tofu")
    assert list(dict.fromkeys(taken["section"])) == ["forget", "retain", "real_authors", "world_facts", "holdout"]
    wrong = dict(forget=5, retain=5, real_authors=3, world_facts=3, holdout=0)
    for section, rows in taken.groupby("section"):
        extra = {"paraphrase"} if section in ("forget", "retain") else set()
        assert set(rows["candidate"]) == {"answer", *extra, *(f"wrong_{j}" for j in range(wrong[section]))}
        assert rows["generation"].notna().any() == (section != "holdout")
    assert (taken["tokens"] == 2).any()  # one token and the end
    without = take(pair, prompt, tofu, holdout=None, evaluate_rows=1, max_new_tokens=1)
    assert "holdout" not in set(without["section"])
    with refused("unknown-split", "holdout01", "holdout10"):
        take(pair, prompt, tofu, holdout="holdout01")


def test_sections_of_muse(whole):
    taken = whole("muse")
    assert list(dict.fromkeys(taken["section"])) == ["forget_knowmem", "retain_knowmem", "verbmem", "forget", "holdout"]
    assert set(taken["candidate"]) == {"answer"} and not taken["end"].any()
    verbmem = taken[taken["section"] == "verbmem"]
    assert verbmem["tokens"].max() == 128 and verbmem["tokens"].min() < 128


def test_running_text_is_cut_and_its_first_token_never_scored(pair, prompt, muse, plain):
    """A text of more than 2,048 tokens, a model that has room for them, and a tokenizer that begins with the text itself."""
    model, tokenizer = pair
    roomy, bare = copy.deepcopy(model), copy.deepcopy(tokenizer)
    roomy.config.max_position_embeddings = 4096
    bare.backend_tokenizer.post_processor = type(bare.backend_tokenizer.post_processor)(single="$A", special_tokens=[])
    long = muse.copy()
    long.loc[long["split"] == "privleak_forget", "answer"] = "xyz " * 1200
    for coder, most in (tokenizer, 2048), (bare, 2047):
        options = dict(split="forget10", max_new_tokens=6)
        taken = score.evidence(roomy, coder, prompt, long, evaluate_rows=1, **options)
        same(taken, plain(roomy, coder, prompt, long, rows=1, **options))
        assert taken.query("section == 'forget'")["tokens"].tolist() == [most]


def test_stop_strings_end_continuations(whole, pair, prompt, muse, monkeypatch):
    """Strings that the model does say; each text ends before the first of them, whatever the batch."""
    free = whole("muse")
    quiz = free[free["section"].str.endswith("knowmem")]["generation"].tolist()
    stop = (quiz[0][5:8], quiz[-1][6:7])
    asked = tuple(replace(s, stop=stop) if s.name.endswith("knowmem") else s for s in KINDS["muse"].sections)
    monkeypatch.setattr(KINDS["muse"], "sections", asked)
    expected = []
    for text, section in zip(free["generation"], free["section"], strict=True):
        first = min((text.find(s) for s in stop if s in text), default=None) if section.endswith("knowmem") else None
        expected.append(text if text is None or first is None else text[:first].strip())
    assert sum(a != b for a, b in zip(expected, free["generation"], strict=True)) >= 2
    for tokens in (1, 150, 16384):
        assert take(pair, prompt, muse, batch_tokens=tokens)["generation"].tolist() == expected


def test_evaluate_rows_are_the_first_of_each_section(whole, kind, pair, prompt, records):
    taken, few = whole(kind), take(pair, prompt, records, evaluate_rows=1)
    assert set(few["index"]) == {0}
    same(few, taken[taken["index"] == 0].to_dict("records"))


def test_sliding_windows(pair, prompt, tofu, plain):
    """A window that is shorter than the prompts: shared prefixes and continuations must forget the same tokens."""
    _, tokenizer = pair
    torch.manual_seed(0)
    shape = dict(vocab_size=len(tokenizer), hidden_size=24, intermediate_size=32, num_hidden_layers=2)
    heads = dict(num_attention_heads=2, num_key_value_heads=1, sliding_window=8, initializer_range=0.2)
    ends = dict(bos_token_id=0, eos_token_id=1, pad_token_id=1)
    model = MistralForCausalLM(MistralConfig(**shape, **heads, **ends)).eval()
    options = dict(split="forget10", holdout="holdout10", max_new_tokens=12)
    taken = score.evidence(model, tokenizer, prompt, tofu, **options, evaluate_rows=2)
    same(taken, plain(model, tokenizer, prompt, tofu, **options, rows=2))
    wide = copy.deepcopy(model)
    for part in (wide, *wide.modules()):
        if hasattr(part, "config"):
            part.config.sliding_window = 512
    other = score.evidence(wide, tokenizer, prompt, tofu, **options, evaluate_rows=2)
    assert (other["avg_loss"] - taken["avg_loss"]).abs().max() > 1e-3  # the window mattered


def test_a_model_without_keys_and_values_is_refused(pair, prompt, tofu):
    shape = dict(vocab_size=len(pair[1]), hidden_size=16, num_hidden_layers=1, state_size=4)
    model = MambaForCausalLM(MambaConfig(**shape))
    with refused("not-only-attention", "Mamba"):
        take((model, pair[1]), prompt, tofu, evaluate_rows=1)


def test_weights_that_are_no_numbers_are_refused(pair, prompt, tofu):
    model, tokenizer = pair
    broken = copy.deepcopy(model)
    torch.nn.init.constant_(broken.model.norm.weight, math.nan)
    with refused("not-finite"):
        take((broken, tokenizer), prompt, tofu, evaluate_rows=1, max_new_tokens=1)


def test_too_many_new_tokens_name_their_section(pair, prompt, tofu):
    with refused("too-many-new-tokens", "section forget", 1020):
        take(pair, prompt, tofu, max_new_tokens=1020)


def test_an_answer_without_a_token_names_its_section(pair, prompt, muse):
    empty = muse.copy()
    empty.loc[(empty["split"] == "privleak_holdout") & (empty["index"] == 1), "answer"] = ""
    with refused("no-scored-token", "section holdout", "row 1") as caught:
        take(pair, prompt, empty)
    assert "\n" not in str(caught.value)


def test_gradient_norms_are_taken_of_members_and_others(pair, prompt, records):
    model, _ = pair
    taken = take(pair, prompt, records, gradient_norms=True, evaluate_rows=2)
    members = taken["section"].isin(["forget", "holdout"]) & (taken["candidate"] == "answer")
    assert taken.loc[members, "gradient_norm"].gt(0).all() and taken.loc[~members, "gradient_norm"].isna().all()
    assert all(p.grad is None for p in model.parameters()) and not model.training
