"""Small Llamas with random weights, and sequences for them."""

from collections.abc import Sequence
from typing import Any

import torch

from baldro.prompts.encode import Tokens

VOCABULARY = 40


def llama(seed: int = 0, *, dropout: float = 0.0, dtype: torch.dtype = torch.float32, **shape: Any) -> Any:
    """Two layers of width 16, tied embeddings; the same weights for the same seed and shape.

    Args:
        dropout: of attention, in training.
        shape: further fields of the config.
    """
    from transformers import LlamaConfig, LlamaForCausalLM

    size = dict(hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2)
    ends = dict(vocab_size=VOCABULARY, bos_token_id=1, eos_token_id=2)
    torch.manual_seed(seed)
    config = LlamaConfig(
        **ends, tie_word_embeddings=True, attention_dropout=dropout, initializer_range=0.2, **size | shape
    )
    return LlamaForCausalLM(config).to(dtype)


def sequences(seed: int, lengths: Sequence[int]) -> list[Tokens]:
    """Random token ids of these lengths; the answer begins at the fourth."""
    made = torch.Generator().manual_seed(seed)
    return [Tokens(ids=tuple(torch.randint(3, VOCABULARY, (n,), generator=made).tolist()), start=3) for n in lengths]
