"""Chi-square DRO: the worst case in a chi-square ball around the plain mean (Namkoong & Duchi 2017, arXiv 1610.02581; Hashimoto et al.
2018, arXiv 1806.08010).

The divergence is Pearson's, D(q) = sum_i (q_i - 1/n)^2 / (1/n) = n |q|^2 - 1. Namkoong & Duchi take half of it and a radius over n, so
their rho is n/2 times the one here.
"""

from bisect import bisect_left
from typing import Annotated

import torch
from torch import Tensor

from baldro.errors import BaldroError
from baldro.methods.variants import variant


@variant(label="chi2-DRO")
def weights(losses_B: Tensor, *, chi2_rho: Annotated[float, ">= 0"] = 1.0) -> Tensor:
    """argmax_q q.l subject to (1/n) sum_i (n q_i - 1)^2 <= rho: q proportional to (l - eta)_+.

    rho has no units: scaling or shifting the losses changes nothing, so it means the same for every objective. rho = 0 is the plain mean,
    rho >= n - 1 (n/t - 1 where t losses tie for the highest) leaves the hardest alone, in equal shares. As long as no weight is 0,
    q.l = mean + sqrt(rho Var l). Equal losses have equal weights.

    Args:
        chi2_rho: radius of the chi-square ball, without units: 0 = the plain mean, n - 1 and above = the hardest of n samples alone.

    Cost: a forward pass without gradients over the batch finds the weights, where it does not fit one micro-batch.
    """
    if not chi2_rho >= 0:
        raise BaldroError("value-not-allowed", f"chi2_rho is {chi2_rho}; allowed: 0 and above")
    # On a device, the search below would wait for it at every step.
    sorted_B, order_B = losses_B.detach().double().cpu().sort(descending=True, stable=True)
    head_K, n = _support(sorted_B, (1 + chi2_rho) / len(losses_B)), len(losses_B)
    k = len(head_K)
    if head_K[0] == head_K[-1]:
        shares_K = torch.full_like(head_K, 1 / k)
    else:
        # With the support known, |q|^2 = (1 + rho) / n is an equation for the spread of q around 1/k.
        depth_K = (head_K - head_K[0]) / (head_K[0] - head_K[-1])
        standard_K = (depth_K - depth_K.mean()) / depth_K.std(correction=0)
        shares_K = (1 + max(0.0, k * (1 + chi2_rho) / n - 1) ** 0.5 * standard_K).clamp(min=0)
    weights_B = torch.zeros_like(sorted_B).index_copy(0, order_B[:k], shares_K / shares_K.sum())
    return weights_B.to(losses_B.device)


def _support(sorted_B: Tensor, square: float) -> Tensor:
    """The losses, highest first, whose weights are above 0 when |q|^2 is `square`, or the ties at the top where that is too much.

    |q|^2 rises with eta, so a loss has a weight if |q|^2 is above `square` with eta at that loss.
    """
    ties = int((sorted_B == sorted_B[0]).sum())

    def is_out(k: int) -> bool:
        excess_B = ((sorted_B - sorted_B[k]) / (sorted_B[0] - sorted_B[k])).clamp(min=0)
        return float(excess_B.square().sum() / excess_B.sum().square()) <= square

    return sorted_B[: bisect_left(range(len(sorted_B)), True, lo=ties, key=is_out)]
