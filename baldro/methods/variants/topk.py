"""Smooth top-k: the hardest share with a soft edge (the projection of Amos, Koltun & Kolter 2019, arXiv 1906.08707, with a temperature)."""

import math
from typing import Annotated

import torch
from torch import Tensor

from baldro.errors import BaldroError
from baldro.methods.variants import variant
from baldro.methods.variants.roots import falls_at

SATURATED = 1000.0
"""Beyond this the sigmoid is 0 or 1 in float64, whatever share is asked for."""


@variant(label="Smooth top-k")
def weights(
    losses_B: Tensor,
    *,
    topk_fraction: Annotated[float, "> 0, < 1"] = 0.5,
    topk_temperature: Annotated[float, "> 0"] = 1.0,
) -> Tensor:
    """q_i = sigmoid((l_i - nu) / t) / k, nu such that they sum to one, k = fraction n: argmax_q q.l + (t/k) sum_i H(k q_i), k q_i <= 1.

    H(p) = -p log p - (1 - p) log(1 - p), the entropy of kept or not. t -> 0 is CVaR with alpha = fraction (ties in equal shares),
    t -> infinity the plain mean. k need not be whole, and may be below 1. The bounds of the fraction are open: at 1, nu is -infinity.

    Args:
        topk_fraction: share of the batch, the hardest samples, that smooth top-k keeps.
        topk_temperature: width of smooth top-k's edge, in units of the forget loss: small = the share alone, large = the plain mean.

    Cost: a forward pass without gradients over the batch finds the weights, where it does not fit one micro-batch.
    """
    if not 0 < topk_fraction < 1:
        raise BaldroError("value-not-allowed", f"topk_fraction is {topk_fraction}; allowed: above 0, below 1")
    if not topk_temperature > 0:
        raise BaldroError("value-not-allowed", f"topk_temperature is {topk_temperature}; allowed: above 0")
    # On a device, the search below would wait for it at every step.
    losses_B, device = losses_B.detach().double().cpu(), losses_B.device
    k = topk_fraction * len(losses_B)
    # nu is counted from the loss at the edge, the only one in whose neighbourhood it must be exact: beside losses of 1e6, it could not be.
    edge = losses_B.sort(descending=True).values[math.ceil(k) - 1]
    x_B = (losses_B - edge) / topk_temperature
    nu = falls_at(lambda nu: float(torch.sigmoid(x_B - nu).sum()) > k, -SATURATED, SATURATED)
    kept_B = torch.sigmoid(x_B - nu)
    return (kept_B / kept_B.sum()).to(device)
