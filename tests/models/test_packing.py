"""A pass without padding says what padded rows say, gradients too, and models that it would change take no part."""

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from baldro.models import hidden_and_targets, packing, recompute_activations
from baldro.models.forward import body
from baldro.prompts.batches import collate
from baldro.prompts.encode import Tokens

SMALL = dict(vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4)
TAKE_PART = {
    "Llama": dict(num_key_value_heads=2),
    "Mistral": dict(num_key_value_heads=2, sliding_window=6),
    "Qwen2": dict(num_key_value_heads=2),
    "Qwen3": dict(num_key_value_heads=2, head_dim=8),
    "Phi3": dict(num_key_value_heads=4, pad_token_id=0),
    "Gemma3Text": dict(num_key_value_heads=2, head_dim=8, sliding_window=6),
    "GPTNeoX": dict(),
    "OPT": dict(ffn_dim=48, word_embed_proj_dim=32, dropout=0.0),
}


def network(family: str, **options: object) -> torch.nn.Module:
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**SMALL | TAKE_PART[family] | options)
    model = transformers.AutoModelForCausalLM.from_config(config).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    return model


def rows(lengths: list[int]) -> list[Tokens]:
    draw = np.random.default_rng(len(lengths))
    return [Tokens(ids=tuple(draw.integers(1, 64, n).tolist()), start=int(draw.integers(1, n))) for n in lengths]


def passed(model: torch.nn.Module, some: list[Tokens], *, whole: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Hidden states, and all gradients of a number of them."""
    model.zero_grad(set_to_none=True)
    hidden_NH, target_N, _ = hidden_and_targets(model, collate(some), whole=whole)
    assert target_N.tolist() == [token for row in some for token in row.ids[row.start :]]
    (hidden_NH.square() * torch.arange(1, 1 + hidden_NH.numel()).view_as(hidden_NH)).mean().backward()
    return hidden_NH.detach(), torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


@pytest.mark.parametrize("family", TAKE_PART)
def test_the_same_as_padded_rows(family):
    model, some = network(family), rows([6, 3, 5, 2, 2])
    packing.prepare(model)
    assert model.config._attn_implementation == packing.NAME
    assert packing.layout(model, np.array([5, 2, 4, 1, 1]), torch.device("cpu"))
    allowed = (
        1e-6 if family == "Gemma3Text" else 1e-13
    )  # Gemma's norms go through float32, in an order that the shape decides
    for found, expected in zip(passed(model, some, whole=False), passed(model, some, whole=True), strict=True):
        assert float((found - expected).norm() / expected.norm()) < allowed


@settings(max_examples=25)
@given(st.lists(st.integers(2, 12), min_size=1, max_size=8), st.booleans())
def test_rows_of_any_lengths(lengths, again):
    model = network("Llama")
    packing.prepare(model)
    if again:
        recompute_activations(model.train())
    pairs = zip(*(passed(model, rows(lengths), whole=whole) for whole in (False, True)), strict=True)
    assert all(float((found - expected).norm() / expected.norm()) < 1e-13 for found, expected in pairs)


def test_on_a_gpu_rows_are_padded_to_few_lengths(monkeypatch):
    class Card:
        type = "cuda"

    monkeypatch.setattr(torch.Tensor, "to", lambda self, device: self)
    for longest, width in ((3, 16), (16, 16), (17, 32)):
        made = packing.Layout.of(np.array([1, longest]), Card())
        assert made.shape == (2, width) and len(made.token_S) == 2 * width
        assert made.of_tokens(torch.arange(2 * width).view(2, width)).tolist() == [0, *range(width, width + longest)]
        assert made.token_S.view(2, width)[0].tolist() == [0] * width


def test_rows_longer_than_a_window_are_padded():
    model = network("Mistral")
    packing.prepare(model)
    device = torch.device("cpu")
    assert packing.layout(model, np.array([6, 1, 1]), device) and not packing.layout(model, np.array([7, 1, 1]), device)
    assert not packing.layout(model, np.array([6, 6, 6]), device), "nothing to gain"


@pytest.mark.parametrize(
    "config",
    [
        transformers.Gemma2Config(**SMALL, num_key_value_heads=2, head_dim=8, attn_implementation="eager"),
        transformers.BloomConfig(vocab_size=64, hidden_size=32, n_layer=2, n_head=4),
    ],
    ids=lambda config: config.model_type,
)
def test_others_go_on_as_they_are(config):
    model = transformers.AutoModelForCausalLM.from_config(config)
    before = model.config._attn_implementation
    packing.prepare(model)
    some = rows([6, 3, 5, 2, 2])
    hidden_NH, _, _ = hidden_and_targets(model, collate(some))
    assert model.config._attn_implementation == before and torch.isfinite(hidden_NH).all()


def test_other_passes_and_what_is_saved_stay_as_they_are(tmp_path):
    model, ids_BL = network("Llama"), torch.arange(1, 9).view(2, 4)
    mask_BL = torch.tensor([[0, 1, 1, 1], [1, 1, 1, 1]])
    before = body(model, input_ids=ids_BL, attention_mask=mask_BL, use_cache=False)
    packing.prepare(model)
    assert torch.equal(before, body(model, input_ids=ids_BL, attention_mask=mask_BL, use_cache=False))
    model.save_pretrained(tmp_path)
    assert packing.NAME not in (tmp_path / "config.json").read_text()


def test_a_model_that_would_say_something_else_takes_no_part(monkeypatch):
    model = network("Llama")
    monkeypatch.setattr(packing.Layout, "packed", lambda self, x_BLhD: x_BLhD.flatten(0, 1)[: len(self.slot_N)][None])
    packing.prepare(model)
    assert model.config._attn_implementation == "sdpa"
