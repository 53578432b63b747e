"""Drafts change no text, whatever they say and however long they are; and they cost little where they are wrong."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from baldro.scoring import generate
from baldro.scoring import generation as loop
from baldro.scoring.drafts import Drafts, Row

VOCABULARY, EOS, NEW = 12, 3, 14
SHAPE = dict(
    vocab_size=VOCABULARY, hidden_size=32, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=64, initializer_range=0.5, bos_token_id=1, eos_token_id=2, pad_token_id=0,
)  # fmt: skip
WINDOWS = ["sliding_attention", "full_attention"]
OWN = {
    "llama": {},
    "gpt2": dict(n_embd=32, n_layer=2, n_head=4, n_positions=64),
    "opt": dict(ffn_dim=24, word_embed_proj_dim=16),
    "bloom": {},
    "mistral": dict(sliding_window=4),
    "gemma3_text": dict(head_dim=8, query_pre_attn_scalar=8, sliding_window=5, layer_types=WINDOWS),
    "gpt_oss": dict(head_dim=8, num_local_experts=4, num_experts_per_tok=2, sliding_window=3, layer_types=WINDOWS),
}
"""Positions rotated, learned, counted from the mask, by distance; windows in each layer, in some, and with sinks."""
TOKENS = st.lists(st.integers(0, VOCABULARY - 1), max_size=2 * NEW)
PROMPTS = st.lists(st.lists(st.integers(4, VOCABULARY - 1), min_size=1, max_size=12), min_size=1, max_size=7)


@pytest.fixture(scope="module", params=OWN)
def model(request):
    shape = {k: v for k, v in SHAPE.items() if request.param not in ("gpt2", "bloom") or k not in ("hidden_size", "num_hidden_layers", "num_attention_heads", "max_position_embeddings")}
    if request.param == "bloom":
        shape |= dict(hidden_size=32, n_layer=2, n_head=4)
    torch.manual_seed(0)
    config = CONFIG_MAPPING[request.param](**{**shape, **OWN[request.param]})
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()


def finished(said):
    """A stop string: two equal tokens of a few."""
    return len(said) > 1 and said[-1] == said[-2] < 5


@torch.inference_mode()
def plain(model, prompt):
    """Token by token, each from the whole text."""
    said = []
    while len(said) < NEW:
        token = int(model(input_ids=torch.tensor([[*prompt, *said]]), use_cache=False).logits[0, -1].argmax())
        if token == EOS:
            break
        said.append(token)
        if finished(said):
            break
    return said


@settings(max_examples=25)
@given(data=st.data(), prompts=PROMPTS, tokens=st.sampled_from([1, 60, 120, 10**6]))
def test_whatever_the_drafts_the_text_is_what_the_model_says_token_by_token(model, data, prompts, tokens):
    texts = [plain(model, prompt) for prompt in prompts]
    gold = []
    for text in texts:
        right = data.draw(st.integers(0, len(text)))
        gold.append([*text[:right], *data.draw(TOKENS)] if data.draw(st.booleans()) else [*text, EOS])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Drafts, "width", lambda self, rows, most, beside=0: data.draw(st.integers(0, most)))
        made = generate(model, prompts, eos=EOS, max_new_tokens=NEW, finished=finished, gold=gold, batch_tokens=tokens)
    assert made == texts
