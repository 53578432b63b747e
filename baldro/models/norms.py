"""Root-mean-square norms by one kernel of torch's on a GPU, where a model's own are eight forward and a dozen backward.

A Llama of 30 layers launches some 1,200 of the 4,500 kernels of a step for them, and each of its norms keeps float32 copies of what it
read for the backward pass. torch's kernel computes the same function in float32 and rounds once (a model's own, of bf16 weights, twice).

On a CPU a norm stays as it is, since torch has no kernel for it there.

Shape legend: B rows, H width.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ROWS, WIDTH = 16, 8
"""Of what is asked of a norm to know its function."""
OFF = 1e-5
"""Largest difference of two float32 ways of a number of order 1; a Gemma's norm, which multiplies by 1 + w, is off by 1."""
_as_written = False
_plain: dict[type[nn.Module], bool] = {}


def fuse(model: nn.Module) -> None:
    """Let the norms of a model that are w x / sqrt(mean(x^2) + eps) use torch's kernel on a GPU, in place."""
    for module in model.modules():
        if _epsilon(module) is not None and _is_plain(module):
            module.forward = partial(_forward, module)  # a method would not survive pickling


@contextmanager
def as_written() -> Iterator[None]:
    """Norms within compute as the model's code says: torch's kernel has no second derivative."""
    global _as_written
    before, _as_written = _as_written, True
    try:
        yield
    finally:
        _as_written = before


def _forward(norm: nn.Module, hidden_states: Tensor) -> Tensor:
    # Where the types differ, as of bf16 texts and float32 weights without autocast, torch has no kernel either.
    alike = hidden_states.dtype == norm.weight.dtype or torch.is_autocast_enabled(hidden_states.device.type)
    if _as_written or not hidden_states.is_cuda or not alike:
        return type(norm).forward(norm, hidden_states)
    return F.rms_norm(hidden_states, norm.weight.shape, norm.weight, _epsilon(norm))


def _epsilon(module: nn.Module) -> float | None:
    """Of what calls itself a root-mean-square norm and has one weight a column."""
    weight = getattr(module, "weight", None)
    if not type(module).__name__.endswith("RMSNorm") or weight is None or weight.ndim != 1:
        return None
    return next((float(found) for name in ("variance_epsilon", "eps") if (found := getattr(module, name, None))), None)


def _is_plain(module: nn.Module) -> bool:
    """Whether a norm is that function, by what it makes of some numbers; all of one class are one question."""
    kind = type(module)
    if kind not in _plain:
        twin, draw = copy.copy(module), torch.Generator().manual_seed(0)
        weight_H, x_BH = torch.randn(WIDTH, generator=draw), torch.randn(ROWS, WIDTH, generator=draw)
        twin._parameters = {"weight": nn.Parameter(weight_H)}
        try:
            with torch.no_grad():
                found_BH = kind.forward(twin, x_BH)
        except Exception:  # it wants something else, and is something else
            found_BH = torch.full_like(x_BH, torch.inf)
        expected_BH = F.rms_norm(x_BH, (WIDTH,), weight_H, _epsilon(module))
        _plain[kind] = found_BH.shape == x_BH.shape and float((found_BH - expected_BH).abs().max()) < OFF
    return _plain[kind]
