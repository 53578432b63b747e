"""Timing that alternates between two ways of doing the same, so that a drift of the machine's speed hits both."""

import statistics
import time
from collections.abc import Callable

import torch
from transformers import LlamaConfig, LlamaForCausalLM


def ratio(ours: Callable[[], object], textbook: Callable[[], object], *, repetitions: int = 7) -> tuple[float, float]:
    """Median seconds of ours, and the median ratio textbook / ours of neighbouring repetitions; the first one warms up."""
    times = []
    for _ in range(repetitions + 1):
        pair = []
        for function in (ours, textbook):
            began = time.perf_counter()
            function()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            pair.append(time.perf_counter() - began)
        times.append(pair)
    return statistics.median(a for a, _ in times[1:]), statistics.median(b / a for a, b in times[1:])


def llama(*, vocab: int, width: int, layers: int) -> LlamaForCausalLM:
    """A Llama with random weights, the same each time."""
    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=vocab,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=8,
        intermediate_size=3 * width,
        max_position_embeddings=1024,
        bos_token_id=0,
        eos_token_id=1,
    )
    return LlamaForCausalLM(shape).to("cuda" if torch.cuda.is_available() else "cpu")
