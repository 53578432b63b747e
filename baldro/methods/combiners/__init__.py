"""Combiners, a module each: forget and retain gradients -> one update, gamma = forget_weight, lam = retain_weight.

A module has one decorated function. Its name tells which of three kinds it is:

- `update(forget, retain, *, gamma, lam, ...) -> Gradient`: of the two gradients of the whole effective batch, summed over devices, both
  unweighted. It may write over what it is given, so that no third gradient is held: who calls it keeps neither.
- `multiplier(lam, retain_loss, *, epoch, ...) -> float`: the update is the weighted sum, and lam a state: the next step's from this step's.
- `penalty(forget, retain) -> (value, along_forget, along_retain)`: a number of the two gradients and its derivatives by each of them. The
  update is lam g_r + gamma d(value)/d(theta), for which who calls it takes the Hessians' products with the two: the forget loss's with
  along_forget, the retain loss's with along_retain.

Keyword-only arguments with a default are the combiner's fields; the grid reads them, and the decorator, from the source
(`baldro.methods.declared`). Inner products are over the whole model, not parameter by parameter.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from baldro.errors import BaldroError

Gradient = list[Tensor]
"""One tensor a trainable parameter, in the parameters' order, float32 or finer."""

KINDS = ("update", "multiplier", "penalty")
PIECE = 1 << 22
"""Numbers that are in float64 at a time, so that inner products need no float64 copy of an embedding."""


_SUMMED: ContextVar[Callable[[Tensor], Tensor] | None] = ContextVar("summed", default=None)


def combiner(*, label: str, memory: str, defaults: dict[str, Any] | None = None) -> Callable[[Callable], Callable]:
    """Mark a module's function, and declare what its signature does not show.

    Args:
        label: its name in tables.
        memory: what it holds beside the weights, the optimiser's state and one gradient, in words.
        defaults: usual values of fields that are not its own, e.g. retain_weight.
    """
    return lambda function: function


def function(name: str) -> tuple[str, Callable]:
    """A combiner's kind (update, multiplier or penalty) and its function.

    Args:
        name: the run's `combiner`: `blur-upper` is module `blur_upper`.

    Raises:
        BaldroError: the module has none of the three, or more than one.
    """
    module = import_module(f"{__name__}.{name.replace('-', '_')}")
    kinds = [kind for kind in KINDS if hasattr(module, kind)]
    if len(kinds) != 1:
        raise BaldroError(
            "not-one-function",
            f"combiner {name} has {' and '.join(kinds) or 'none'}; allowed: one of {', '.join(KINDS)}",
        )
    return kinds[0], getattr(module, kinds[0])


def dot(a: Gradient, b: Gradient) -> float:
    """<a, b> over the whole model, products and sums in float64; within `summed`, over the shares of all devices."""
    total = 0.0
    for a_N, b_N in _pieces(a, b):  # not sum(): here that becomes the combiner of this name once it is imported
        total += float(torch.sum(a_N.double() * b_N.double()))
    over = _SUMMED.get()
    return total if over is None else float(over(torch.tensor(total, dtype=torch.float64)))


@contextmanager
def summed(over: Callable[[Tensor], Tensor] | None) -> Iterator[None]:
    """A block whose gradients are one device's shares, or whole ones (None).

    Args:
        over: sum of a tensor over all devices.
    """
    before = _SUMMED.set(over)
    try:
        yield
    finally:
        _SUMMED.reset(before)


def ratio(a: float, b: float) -> float:
    """a / b, but 0 where b is 0: a gradient of 0 has no direction, and nothing goes along it. NaN stays NaN."""
    return a / b if b != 0 else 0.0


def share(a: Gradient, b: Gradient) -> float:
    """<a, b> / ||b||^2: a without this much of b is orthogonal to b. 0 where b is 0; NaN where b is not finite."""
    return ratio(dot(a, b), dot(b, b))


def mix(x: Gradient, y: Gradient, *, gamma: float, lam: float) -> Gradient:
    """gamma x + lam y, each number rounded once, written over `y`, which is returned."""
    for x_N, y_N in _pieces(x, y):
        y_N.copy_(gamma * x_N.double() + lam * y_N.double())
    return y


def _pieces(a: Gradient, b: Gradient) -> Iterator[tuple[Tensor, Tensor]]:
    """Views of the same positions of both, at most PIECE numbers each where both are contiguous."""
    for x, y in zip(a, b, strict=True):
        if x.is_contiguous() and y.is_contiguous():
            yield from zip(x.detach().view(-1).split(PIECE), y.detach().view(-1).split(PIECE), strict=True)
        else:
            yield x.detach(), y.detach()


__all__ = ["Gradient", "combiner", "dot", "function", "mix", "ratio", "share", "summed"]
