"""BalDRO-DV with the temperature that a KL ball asks for: the worst case within a radius (Hu & Hong 2013, KL-constrained DRO; BalDRO-DV is
its penalised form, arXiv 2601.09172, Eq. 12).
"""

import math
from typing import Annotated

import torch
from torch import Tensor

from baldro.errors import BaldroError
from baldro.methods.variants import variant
from baldro.methods.variants.roots import falls_at


@variant(label="BalDRO-DV, learned beta")
def weights(
    losses_B: Tensor, *, dv_rho: Annotated[float, "> 0"] = 0.5, dv_beta_min: Annotated[float, "> 0"] = 0.01
) -> Tensor:
    """softmax(l / b*), b* = argmin_{b >= dv_beta_min} b log mean exp(l / b) + b dv_rho: argmax_q q.l subject to KL(q || 1/n) <= dv_rho.

    The minimum's gradient is that of the losses with these weights (envelope theorem). b*, the learned dv_beta, follows the spread of the
    losses, so a radius means the same for every objective; dv_beta_min keeps it above 0 where dv_rho is log(n/t) or more, t losses tied
    for the highest.

    Args:
        dv_rho: radius of the KL ball in nats: small = the plain mean, log n and above = the hardest of n samples alone.
        dv_beta_min: learned beta stays at this or above, in units of the forget loss.

    Cost: a forward pass without gradients over the batch finds the weights, where it does not fit one micro-batch.
    """
    found = beta(losses_B, dv_rho=dv_rho, dv_beta_min=dv_beta_min)
    return torch.softmax(_below_max(losses_B) / found, 0)


def beta(losses_B: Tensor, *, dv_rho: float = 0.5, dv_beta_min: float = 0.01) -> float:
    """b* of these losses, in their units; dv_beta_min where the ball's radius is not reached above it (so if all are equal)."""
    for name, value in (("dv_rho", dv_rho), ("dv_beta_min", dv_beta_min)):
        if not value > 0:
            raise BaldroError("value-not-allowed", f"{name} is {value}; allowed: above 0")
    # On a device, the search below would wait for it at every step.
    below_B = _below_max(losses_B).cpu()
    # KL <= spread^2 / (8 b^2), since it is at most half the largest variance of l / b under any weights; doubled against rounding.
    highest = 2 * -float(below_B.min()) / math.sqrt(8 * dv_rho)
    if not highest > dv_beta_min or _kl(below_B, dv_beta_min) <= dv_rho:
        return dv_beta_min
    log_beta = falls_at(lambda x: _kl(below_B, math.exp(x)) > dv_rho, math.log(dv_beta_min), math.log(highest))
    return max(dv_beta_min, math.exp(log_beta))


def _below_max(losses_B: Tensor) -> Tensor:
    """The losses less their maximum: divided by a small beta, losses of 1e6 would lose the digits that tell them apart."""
    losses_B = losses_B.detach().double()
    return losses_B - losses_B.max()


def _kl(below_B: Tensor, beta: float) -> float:
    """KL(softmax(l / beta) || 1/n) in nats, which falls as beta grows; a sum of terms none of which is below 0, exact when it is small."""
    ratio_B = torch.softmax(below_B / beta, 0) * len(below_B)
    return float((torch.xlogy(ratio_B, ratio_B) - (ratio_B - 1)).mean())
