"""The output head of each architecture, with what it does to its logits: against transformers' own forward pass and generation."""

import contextlib

import pytest
import torch
from refusals import refused
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from baldro import models
from baldro.models import heads
from baldro.prompts.batches import collate
from baldro.prompts.encode import Tokens
from baldro.runs import Run
from baldro.scoring import generate, token_statistics
from baldro.scoring.likelihood import likelihoods
from baldro.training.update import Sample, cache_reference
from baldro.training.update.forward import Forward

VOCABULARY = 40
SHAPE = dict(
    hidden_size=32, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
    max_position_embeddings=64, initializer_range=0.3, bos_token_id=1, eos_token_id=2, pad_token_id=0,
)  # fmt: skip
GEMMA = dict(head_dim=8, query_pre_attn_scalar=8, final_logit_softcapping=3.0)
OWN = {
    "gemma2": GEMMA,
    "gemma3_text": GEMMA,
    "granite": dict(logits_scaling=6.0, embedding_multiplier=3.0, residual_multiplier=0.7, attention_multiplier=0.2),
    "granitemoe": dict(logits_scaling=6.0, num_local_experts=4, num_experts_per_tok=2),
    "hyperclovax": dict(logits_scaling=0.25),
    "cohere": dict(logit_scale=0.0625),
    "cohere2": dict(logit_scale=0.25, head_dim=8),
    "nanochat": dict(final_logit_softcapping=3.0),
    "opt": dict(ffn_dim=24, word_embed_proj_dim=16),
    "opt, post": dict(ffn_dim=24, do_layer_norm_before=False),
    "gpt2": dict(n_embd=32, n_layer=2, n_head=4, n_positions=64),
    "gpt_neox": {},
    "phi": {},
    "phi3": {},
    "llama": {},
    "mistral": {},
    "qwen2": {},
    "qwen3": dict(head_dim=8),
    "olmo2": {},
    "smollm3": {},
    "mixtral": dict(num_local_experts=4),
    "gpt_oss": dict(head_dim=8, num_local_experts=4, num_experts_per_tok=2),
}
"""Architecture -> its own fields, of values at which a scale or a cap is far from doing nothing."""
CHANGING = ("gemma2", "gemma3_text", "granite", "granitemoe", "hyperclovax", "cohere", "cohere2", "nanochat")
RENAMED = {"gpt2": ("hidden_size", "num_hidden_layers", "num_attention_heads", "max_position_embeddings")}
SEQUENCES = [
    Tokens(ids=(1, 5, 9, 30, 31, 7, 2), start=3),
    Tokens(ids=(1, 5, 9, 30, 11, 2), start=4),
    Tokens(ids=(1, 8, 22, 2), start=2),
]


def made(name):
    kind = name.split(",")[0]
    shape = {key: value for key, value in SHAPE.items() if key not in RENAMED.get(kind, ())}
    torch.manual_seed(0)
    config = CONFIG_MAPPING[kind](vocab_size=VOCABULARY, **{**shape, **OWN[name]})
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()


def own_logits(model, ids):
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids])).logits[0].double()


@pytest.mark.parametrize("name", OWN)
def test_likelihood_and_generation_are_the_models_own(name):
    model = made(name)
    heads.check(model, name)
    with torch.no_grad():
        logp_BT, _ = models.token_logp(model, collate(SEQUENCES))
    found = token_statistics(model, SEQUENCES)
    batches = likelihoods(model, SEQUENCES, [0, 0, 1], batch_tokens=64)
    shared = {b: row for rows, made in batches for b, row in zip(rows, made, strict=True)}
    for b, tokens in enumerate(SEQUENCES):
        logits = own_logits(model, tokens.ids)[tokens.start - 1 : -1]
        logp = logits.log_softmax(-1)
        answer = torch.tensor(tokens.ids[tokens.start :])
        expected = logp[range(len(answer)), answer].tolist()
        assert logp_BT[b, : len(answer)].tolist() == pytest.approx(expected, abs=1e-4)
        for row in (found[b], shared[b]):
            assert row["logp"].tolist() == pytest.approx(expected, abs=1e-4)
            assert row["mu"].tolist() == pytest.approx((logp.exp() * logp).sum(-1).tolist(), abs=1e-4)
            assert row["hit"].tolist() == (logits.argmax(-1) == answer).tolist()
    prompts = [tokens.ids[: tokens.start] for tokens in SEQUENCES]
    for prompt, ids in zip(prompts, generate(model, prompts, eos=2, max_new_tokens=5), strict=True):
        assert ids == continued(model, list(prompt), 5)


def continued(model, ids, new):
    """Greedily, one whole forward pass a token."""
    start = len(ids)
    while len(ids) < start + new:
        ids.append(int(own_logits(model, ids)[-1].argmax()))
        if ids[-1] == 2:
            return ids[start:-1]
    return ids[start:]


@pytest.mark.parametrize("name", CHANGING)
def test_what_is_behind_the_head_matters_and_is_in_the_reference_too(name):
    """The bare output embeddings give other logits; the frozen head keeps those of the model before training."""
    model = made(name)
    hidden_NH = model.base_model(input_ids=torch.tensor([SEQUENCES[0].ids])).last_hidden_state[0].detach()
    own = own_logits(model, SEQUENCES[0].ids)
    bare = model.get_output_embeddings()(hidden_NH).double().detach()
    assert float((bare.log_softmax(-1) - own.log_softmax(-1)).abs().max()) > 0.1
    run = Run.of(benchmark="b", model="m", split="forget10", objective="undial", lr=1e-4, epochs=1, batch_size=2)
    cache = cache_reference(model, run, forget=SEQUENCES, retain=[])
    stats = Forward(model, run, cache=cache, autocast=contextlib.nullcontext)(
        [Sample(tokens=SEQUENCES[0])], [], widths=(0, 0)
    )[0]
    expected = own[2:-1].log_softmax(-1)[range(4), SEQUENCES[0].ids[3:]]
    assert torch.allclose(stats.logp_BT[0].double(), expected, atol=1e-4)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 1
    assert torch.allclose(cache.head(hidden_NH).double(), own, atol=1e-4)


def test_an_unknown_change_is_refused_before_and_behind_the_head(monkeypatch):
    model = made("gemma2")
    monkeypatch.setattr(heads, "CAP", "other_cap")
    with refused("unknown-change-of-logits", "place", "Gemma2ForCausalLM"):
        heads.check(model, "place")
    model = made("llama")
    forward = model.forward
    monkeypatch.setattr(model, "forward", lambda **given: forward(**{**given, "input_ids": given["input_ids"] + 1}))
    with refused("unknown-change-of-hidden-states", "place", "LlamaForCausalLM"):
        heads.check(model, "place")


def test_layers_are_found_where_a_decoder_has_them():
    model = made("opt")
    ids = torch.tensor([[1, 5, 9]])
    with models.activations_behind(model, 1) as found:
        model.base_model(input_ids=ids)
    with torch.no_grad():
        expected = model(input_ids=ids, output_hidden_states=True).hidden_states
    assert found[0].shape == (1, 3, 32) and len(expected) == 3
