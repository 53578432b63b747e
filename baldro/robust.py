"""Robust variants: losses of a batch -> weights that sum to one. The inner step of min-sup, in closed form (BalDRO, arXiv 2601.09172).

The update is the gradient of sum_i w_i l_i with w detached, which for `baldro_dv` is the gradient of its log-sum-exp exactly.
Shape legend: B samples of the effective batch (or its tokens, where tokens are reweighted).
"""

import math

import torch
from torch import Tensor

from baldro.errors import BaldroError


def base(losses_B: Tensor) -> Tensor:
    """1/B each: the plain mean."""
    return torch.full_like(losses_B, 1 / len(losses_B))


def baldro_g(losses_B: Tensor, *, g_fraction: float) -> Tensor:
    """1/k on the k hardest, 0 on the others; k = max(1, floor(fraction B)) (BalDRO-G, Eq. 8 with the top share as the group).

    The earlier one wins a tie.
    """
    k = kept(len(losses_B), g_fraction)
    hardest = torch.argsort(losses_B, descending=True, stable=True)[:k]
    return torch.zeros_like(losses_B).index_fill(0, hardest, 1 / k)


def kept(n: int, g_fraction: float) -> int:
    """How many of n samples BalDRO-G keeps; a product such as 0.29 * 100 must not fall below the whole number that it means."""
    return max(1, math.floor(g_fraction * n + 1e-9))


def baldro_dv(losses_B: Tensor, *, dv_beta: float, dv_direction: str = "hard") -> Tensor:
    """softmax(l / b): the worst case within a KL ball (BalDRO-DV, Eq. 12, L = b log mean exp(l / b)).

    Args:
        dv_beta: temperature, above 0; -> 0 puts all weight on the hardest sample, -> infinity gives the plain mean.
        dv_direction: `hard` as in the paper; `easy`, softmax(-l / b), is the released code's L = -b log mean exp(-l / b).
    """
    return torch.softmax(_exponents(losses_B, dv_beta, dv_direction), 0)


class OnlineSoftmax:
    """baldro_dv's weights when the batch comes in pieces: no second forward pass.

    A piece's gradient is taken with weights exp(x_i - m), m the largest exponent so far. When m grows, what has been accumulated
    shrinks by exp(m_old - m_new); in the end everything is divided by Z = sum_i exp(x_i - m).
    """

    def __init__(self, *, dv_beta: float, dv_direction: str = "hard"):
        self.dv_beta, self.dv_direction = dv_beta, dv_direction
        self.m, self.Z = -math.inf, 0.0

    def admit(self, losses_B: Tensor) -> tuple[Tensor, float]:
        """Weights of a piece (not normalised), and the factor by which to shrink what was accumulated before it."""
        x_B = _exponents(losses_B.detach().double(), self.dv_beta, self.dv_direction)
        m = max(self.m, float(x_B.max()))
        shrink = math.exp(self.m - m)
        weights_B = torch.exp(x_B - m)
        self.m, self.Z = m, self.Z * shrink + float(weights_B.sum())
        return weights_B.to(losses_B.dtype), shrink

    def raise_to(self, m: float) -> float:
        """Take a larger maximum (another device's); returns the factor for what was accumulated."""
        shrink = math.exp(self.m - m) if self.Z else 0.0
        self.m, self.Z = m, self.Z * shrink
        return shrink


def _exponents(losses_B: Tensor, dv_beta: float, dv_direction: str) -> Tensor:
    if not dv_beta > 0:
        raise BaldroError(f"dv_beta is {dv_beta}; allowed: above 0")
    if dv_direction not in ("hard", "easy"):
        raise BaldroError(f"dv_direction is {dv_direction!r}; allowed: hard, easy")
    return (losses_B if dv_direction == "hard" else -losses_B).double() / dv_beta
