"""Softmax weights when the batch comes in pieces: no second forward pass."""

import math

import torch
from torch import Tensor

from baldro.errors import BaldroError


class OnlineSoftmax:
    """baldro_dv's weights when the batch comes in pieces.

    A piece's gradient is taken with weights exp(x_i - m), m the largest exponent so far. When m grows, what has been accumulated
    shrinks by exp(m_old - m_new); in the end everything is divided by Z = sum_i exp(x_i - m).
    """

    def __init__(self, *, dv_beta: float, dv_direction: str = "hard"):
        self.dv_beta, self.dv_direction = dv_beta, dv_direction
        self.m, self.Z = -math.inf, 0.0

    def admit(self, losses_B: Tensor) -> tuple[Tensor, float]:
        """Weights of a piece (not normalised), and the factor by which to shrink what was accumulated before it."""
        x_B = exponents(losses_B, self.dv_beta, self.dv_direction)
        m = self.largest(losses_B)
        shrink = math.exp(self.m - m)
        weights_B = torch.exp(x_B - m)
        self.m, self.Z = m, self.Z * shrink + float(weights_B.sum())
        return weights_B.to(losses_B.dtype), shrink

    def largest(self, losses_B: Tensor) -> float:
        """The largest exponent so far, a further piece's included."""
        return max(self.m, float(exponents(losses_B, self.dv_beta, self.dv_direction).max()))

    def raise_to(self, m: float) -> float:
        """Take a larger maximum (another device's); returns the factor for what was accumulated."""
        shrink = math.exp(self.m - m) if self.m > -math.inf else 0.0
        self.m, self.Z = m, self.Z * shrink
        return shrink


def exponents(losses_B: Tensor, dv_beta: float, dv_direction: str) -> Tensor:
    """l / dv_beta or -l / dv_beta, in float64 and without gradients; the weights are their softmax."""
    if not dv_beta > 0:
        raise BaldroError("value-not-allowed", f"dv_beta is {dv_beta}; allowed: above 0")
    if dv_direction not in ("hard", "easy"):
        raise BaldroError("value-not-allowed", f"dv_direction is {dv_direction!r}; allowed: hard, easy")
    losses_B = losses_B.detach().double()
    return (losses_B if dv_direction == "hard" else -losses_B) / dv_beta
