"""Robust variants, a module each, one short pure function each: the losses of a batch -> weights that sum to one.

The function is `weights(losses_B, *, hyperparameters) -> (B,)`: float64, in the order of the losses, without gradients; B is at least 1.
The update is the gradient of sum_i w_i l_i with w constant: the inner step of min-sup (BalDRO, arXiv 2601.09172) is solved in closed
form, or in one dimension, and where w is a maximiser its own gradient adds nothing (Danskin). Its decorator says what else the grid must
know, which reads it from the source (`baldro.methods.declared`): a module here is a variant everywhere, and no other file names it.
A loss that is not a number gets a weight that is above 0 or not a number, so that it is not passed over.

Shape legend: B samples of the effective batch (or its tokens, where tokens are reweighted); n is their number in formulas.
"""

from collections.abc import Callable
from importlib import import_module

from torch import Tensor

Weights = Callable[..., Tensor]


def variant(
    *, label: str, also: tuple[str, ...] = (), ranks: bool = False, online: bool = False, uniform: bool = False
) -> Callable[[Weights], Weights]:
    """Mark a module's weights, and declare what their signature does not show.

    Args:
        label: its name in tables; empty for what has none.
        also: further fields of the run that matter with it, e.g. g_rank.
        ranks: most weights are 0, so a forward pass without gradients that finds the others pays for itself.
        online: the weights can be found on the way, piece by piece (`baldro.methods.variants.online`).
        uniform: the weights are known before the losses.
    """
    return lambda function: function


def weights(name: str) -> Weights:
    """The function of a variant, by the variant's name: `baldro-g` is in module `baldro_g`."""
    return import_module(f"baldro.methods.variants.{name.replace('-', '_')}").weights


__all__ = ["Weights", "variant", "weights"]
