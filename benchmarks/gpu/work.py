"""Models of the field's shapes with random weights, and rows whose lengths are TOFU's; nothing is downloaded."""

import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from transformers import AutoModelForCausalLM, LlamaConfig

from baldro.models import norms
from baldro.prompts.encode import Tokens


@dataclass(frozen=True, kw_only=True)
class Shape:
    """An architecture as its published config has it."""

    name: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    tied: bool = False

    @property
    def parameters(self) -> int:
        """Counted: tied embeddings once."""
        width, head = self.hidden_size, self.hidden_size // self.num_attention_heads
        attention = 2 * width * head * (self.num_attention_heads + self.num_key_value_heads)
        layer = attention + 3 * width * self.intermediate_size + 2 * width
        return (1 if self.tied else 2) * self.vocab_size * width + self.num_hidden_layers * layer + width


SHAPES = (
    Shape(
        name="Llama-3.2-1B", vocab_size=128256, hidden_size=2048, intermediate_size=8192, num_hidden_layers=16,
        num_attention_heads=32, num_key_value_heads=8, tied=True,
    ),
    Shape(
        name="Llama-2-7B", vocab_size=32000, hidden_size=4096, intermediate_size=11008, num_hidden_layers=32,
        num_attention_heads=32, num_key_value_heads=32,
    ),
    Shape(
        name="Llama-3.1-8B", vocab_size=128256, hidden_size=4096, intermediate_size=14336, num_hidden_layers=32,
        num_attention_heads=32, num_key_value_heads=8,
    ),
)  # fmt: skip
QUICK = (
    Shape(
        name="small", vocab_size=2048, hidden_size=64, intermediate_size=160, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, tied=True,
    ),
)  # fmt: skip


def build(shape: Shape, *, dtype: torch.dtype, device: torch.device, seed: int = 0) -> nn.Module:
    """Random weights, made where they stay; rotary frequencies are float32 in every dtype."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=shape.vocab_size,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.num_hidden_layers,
        num_attention_heads=shape.num_attention_heads,
        num_key_value_heads=shape.num_key_value_heads,
        tie_word_embeddings=shape.tied,
        max_position_embeddings=1024,
        bos_token_id=0,
        eos_token_id=1,
    )
    with device:
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    norms.fuse(model)
    return model


def lengths(draw: random.Random) -> tuple[int, int]:
    """Tokens of a question and of an answer, by mean, deviation and ends as SmolLM2's tokenizer has them of TOFU's forget10 (measured)."""
    question, answer = draw.gauss(18.1, 5.5), draw.gauss(36.3, 12.6)
    return round(min(51, max(10, question))), round(min(82, max(8, answer)))


def sequences(count: int, vocab: int, *, seed: int) -> list[Tokens]:
    """Random tokens in rows of these lengths."""
    draw = random.Random(seed)
    made = []
    for _ in range(count):
        prompt, answer = lengths(draw)
        made.append(Tokens(ids=tuple(draw.randrange(2, vocab) for _ in range(prompt + answer)), start=prompt))
    return made


def candidates(questions: int, each: int, vocab: int, *, seed: int) -> tuple[list[Tokens], list[int]]:
    """`each` answers to every question, and which question each belongs to."""
    draw = random.Random(seed)
    made, asked = [], []
    for question in range(questions):
        prompt = tuple(draw.randrange(2, vocab) for _ in range(lengths(draw)[0]))
        for _ in range(each):
            answer = tuple(draw.randrange(2, vocab) for _ in range(lengths(draw)[1]))
            made.append(Tokens(ids=prompt + answer, start=len(prompt)))
            asked.append(question)
    return made, asked


@dataclass(frozen=True)
class Timed:
    """Median seconds of some repetitions after a first one, and the most memory that one took."""

    seconds: float
    peak_bytes: int | None


def timed(function: Callable[[], object], device: torch.device, *, repetitions: int = 3, beside: int = 0) -> Timed:
    """Of a function; a GPU's memory is its peak of allocated bytes, of a CPU it is not known.

    Args:
        beside: bytes that are allocated for something else, and not counted.
    """
    cuda = device.type == "cuda"
    seconds = []
    for _ in range(repetitions + 1):
        if cuda:
            torch.cuda.synchronize(device)
            torch.cuda.reset_peak_memory_stats(device)
        began = time.perf_counter()
        function()
        if cuda:
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - began)
    return Timed(statistics.median(seconds[1:]), torch.cuda.max_memory_allocated(device) - beside if cuda else None)


def gigabytes(size: float | None) -> float | None:
    """Of bytes, if they are known."""
    return None if size is None else size / 1e9


def free(device: torch.device) -> None:
    """Give back what nothing refers to any more."""
    import gc

    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def matrix_peak(device: torch.device, dtype: torch.dtype, *, size: int) -> float:
    """FLOP/s of a square matrix product of random numbers, the best of some."""
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    times = [timed(lambda: a @ b, device, repetitions=5).seconds for _ in range(2)]
    return 2 * size**3 / min(times)


def copy_rate(device: torch.device, *, elements: int) -> float:
    """Bytes/s read and written by a copy on the device."""
    source = torch.zeros(elements, device=device)
    target = torch.empty_like(source)
    return 2 * 4 * elements / timed(lambda: target.copy_(source), device, repetitions=5).seconds
