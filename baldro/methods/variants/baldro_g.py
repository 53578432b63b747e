"""BalDRO-G: the hardest share of the batch alone (arXiv 2601.09172, Eq. 8 with the top share as the group)."""

import math
from typing import Annotated

import torch
from torch import Tensor

from baldro.errors import BaldroError
from baldro.methods.variants import variant


@variant(label="BalDRO-G", also=("g_rank", "g_retain"), ranks=True)
def weights(losses_B: Tensor, *, g_fraction: Annotated[float, "> 0, <= 1"] = 0.5) -> Tensor:
    """1/k on the k hardest, 0 on the others; k = max(1, floor(fraction n)).

    The earlier one wins a tie.

    Args:
        g_fraction: BalDRO-G keeps this share of the batch, the hardest samples.

    Cost: a forward pass without gradients over the batch; forward and backward over the kept samples alone.
    """
    k = kept(len(losses_B), g_fraction)
    hardest = torch.argsort(losses_B.detach(), descending=True, stable=True)[:k]
    zeros_B = torch.zeros_like(losses_B, dtype=torch.float64, requires_grad=False)
    return zeros_B.index_fill(0, hardest, 1 / k)


def kept(n: int, g_fraction: float) -> int:
    """How many of n samples BalDRO-G keeps; a product such as 0.29 * 100 must not fall below the whole number that it means."""
    if not 0 < g_fraction <= 1:
        raise BaldroError("value-not-allowed", f"g_fraction is {g_fraction}; allowed: above 0, at most 1")
    return max(1, math.floor(g_fraction * n + 1e-9))
