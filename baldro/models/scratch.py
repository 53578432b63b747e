"""A model from scratch: a Llama with random weights, and a tokenizer trained on the benchmark's texts."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from baldro.models import norms

POSITIONS = 512
"""Positions of such a model, if its definition does not say."""


def build(architecture: Mapping[str, Any], texts: Iterable[str], *, seed: int) -> tuple[nn.Module, Any]:
    """A Llama with random weights and a byte-level BPE tokenizer trained on `texts`."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    shape = dict(architecture)
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    special = ["<s>", "</s>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=shape.pop("vocab_size", 2048),
            special_tokens=special,
            initial_alphabet=alphabet,
            show_progress=False,
        ),
    )
    core.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", core.token_to_id("<s>"))]
    )
    made = PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>", pad_token="</s>")
    torch.manual_seed(seed)
    shape.setdefault("max_position_embeddings", POSITIONS)
    ends = {"bos_token_id": made.bos_token_id, "eos_token_id": made.eos_token_id, "pad_token_id": made.pad_token_id}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(made), tie_word_embeddings=True, **ends, **shape))
    norms.fuse(model)
    return model, made
