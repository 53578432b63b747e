"""What the checks are made on: small Llamas with random weights, sequences of TOFU's shape, a short training; the same on every device."""

import math
import os
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from baldro.models import norms
from baldro.prompts.encode import Tokens
from baldro.runs import Run
from baldro.training.update import Sample

VOCAB = 512


@dataclass(frozen=True)
class Check:
    """One thing that must hold, and what was measured."""

    name: str
    passed: bool
    value: str
    """What was measured."""
    allowed: str
    """What may be; `measured` where nothing can fail."""
    seconds: float = 0.0
    """Filled in by who calls it."""
    note: str = ""


def llama(*, width: int = 128, layers: int = 2, seed: int = 0, dropout: float = 0.0, vocab: int = VOCAB) -> nn.Module:
    """A Llama whose heads have 64 dimensions, as a GPU's attention kernels want them; weights large enough that likelihoods differ."""
    torch.manual_seed(seed)
    shape = dict(
        hidden_size=width, num_hidden_layers=layers, intermediate_size=2 * width, num_attention_heads=width // 64
    )
    config = LlamaConfig(
        vocab_size=vocab, **shape, max_position_embeddings=1024, initializer_range=0.1, tie_word_embeddings=True,
        attention_dropout=dropout, bos_token_id=0, eos_token_id=1, pad_token_id=1,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    norms.fuse(model)
    return model


def moved(model: nn.Module, *, by: float, seed: int) -> nn.Module:
    """The model with every weight moved a little, in place: not its reference any more."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(by * torch.randn_like(parameter))
    return model


def sequences(count: int, seed: int, *, vocab: int = VOCAB) -> list[Tokens]:
    """Questions of 8 to 16 tokens and answers of 2 to 24."""
    draw, made = random.Random(seed), []
    for _ in range(count):
        prompt, answer = draw.randint(8, 16), draw.randint(2, 24)
        made.append(Tokens(ids=tuple(draw.randrange(2, vocab) for _ in range(prompt + answer)), start=prompt))
    return made


def point(objective: str, **values: Any) -> Run:
    """A run of the checks."""
    return Run.of(benchmark="b", model="m", split="forget10", objective=objective, **values)


def distances(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> tuple[float, float]:
    """Relative L2 distance of an update; and the largest of one parameter, in units of a hundredth of the update where it is shorter."""
    lengths = {k: float(g.norm()) for k, g in expected.items()}
    whole = math.hypot(*lengths.values())
    off = {k: float((found[k].cpu().double() - g).norm()) for k, g in expected.items()}
    return math.hypot(*off.values()) / whole, max(off[k] / max(lengths[k], 0.01 * whole) for k in off)


# Training ------------------------------------------------------------------------------------------------------------


@contextmanager
def on(device: torch.device) -> Iterator[None]:
    """Training within is on this device, and silent: accelerate takes a GPU where there is one unless told otherwise."""
    from accelerate.state import AcceleratorState

    before = os.environ.get("ACCELERATE_USE_CPU")
    os.environ["ACCELERATE_USE_CPU"] = "true" if device.type == "cpu" else "false"
    AcceleratorState._reset_state(reset_partial_state=True)
    try:
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            yield
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)
        os.environ.pop("ACCELERATE_USE_CPU")
        if before is not None:
            os.environ["ACCELERATE_USE_CPU"] = before


def train(
    device: torch.device,
    folder: Path,
    run: Run,
    *,
    model: nn.Module,
    forget: Sequence[Sample] = (),
    retain: Sequence[Tokens] = (),
    micro_batch: int = 4,
    **options: Any,
) -> tuple[nn.Module, Any]:
    """A short training on the device, of 12 forget and 10 retain samples unless they are given; the model, and what its loop says."""
    from baldro.training.loop import Execution
    from baldro.training.loop import train as fit

    some = dict(vocab=model.config.vocab_size)
    forget = forget or [Sample(tokens=t, reference=(-3.0,) * t.answer) for t in sequences(12, seed=1, **some)]
    execution = Execution(micro_batch=micro_batch, checkpoint_minutes=None)
    with on(device):
        done = fit(
            model, run, forget=forget, retain=retain or sequences(10, seed=2, **some), output=folder, identity="check",
            execution=execution, **options,
        )  # fmt: skip
    return model, done


def weights(model: nn.Module) -> torch.Tensor:
    """All weights in one row, in float64."""
    return torch.cat([p.detach().double().cpu().flatten() for p in model.parameters()])


def apart(a: nn.Module, b: nn.Module, start: nn.Module) -> float:
    """L2 distance of two models' weights in units of how far training moved them."""
    return float((weights(a) - weights(b)).norm() / (weights(b) - weights(start)).norm())
