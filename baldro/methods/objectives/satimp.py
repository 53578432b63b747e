"""SatImp: gradient ascent whose tokens are weighted by saturation and importance (Yang et al. 2025, arXiv 2505.11953)."""

from typing import Annotated

from torch import Tensor

from baldro.methods.objectives import TokenStats, objective


@objective(label="SatImp", defaults={"forget_weight": 0.1})
def token_loss(
    stats: TokenStats, *, satimp_beta1: Annotated[float, ">= 0"] = 5.0, satimp_beta2: Annotated[float, ">= 0"] = 1.0
) -> Tensor:
    """-p_t^b1 (1 - p_t)^b2 CE_t with the weight detached, per token (B, T), at most 0.

    Args:
        satimp_beta1: SatImp's exponent of p (saturation).
        satimp_beta2: SatImp's exponent of 1 - p (importance).
    """
    p_BT = stats.logp_BT.detach().exp()
    return p_BT**satimp_beta1 * (1 - p_BT) ** satimp_beta2 * stats.logp_BT
