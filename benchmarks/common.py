"""Timing that alternates between two ways of doing the same, so that a drift of the machine's speed hits both."""

import statistics
import time
from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode
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


def products(function: Callable[[], object]) -> float:
    """FLOP of the matrix products of a call; those of attention are counted on a GPU alone."""
    with FlopCounterMode(display=False) as counter:
        function()
    return float(counter.get_total_flops())


def speed(rows: int, width: int, *, repetitions: int = 20) -> float:
    """FLOP/s of a bare float32 product of (rows, width) and (width, width), the best of several: what a machine has at such a shape."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    a, b = torch.randn(rows, width, device=device), torch.randn(width, width, device=device)
    best = float("inf")
    for _ in range(repetitions + 1):
        began = time.perf_counter()
        a @ b
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - began)
    return 2 * rows * width * width / best


def bound(ours: Callable[[], object], textbook: Callable[[], object], seconds: float, *, rows: int, width: int) -> str:
    """How far a speed-up can go: our matrix products beside a textbook's, and how much of a bare product's speed ours have in all."""
    own = products(ours)
    reached = own / seconds / speed(rows, width)
    return f"{own / 1e9:.1f} GFLOP of products (textbook {products(textbook) / own:.2f}x), at {reached:.0%} of a bare product's speed"


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
