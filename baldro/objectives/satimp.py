"""SatImp: gradient ascent whose tokens are weighted by saturation and importance (Yang et al. 2025, arXiv 2505.11953)."""

from torch import Tensor

from baldro.objectives import TokenStats


def token_loss(stats: TokenStats, *, satimp_beta1: float, satimp_beta2: float) -> Tensor:
    """-p_t^b1 (1 - p_t)^b2 CE_t with the weight detached, per token (B, T), at most 0."""
    p_BT = stats.logp_BT.detach().exp()
    return p_BT**satimp_beta1 * (1 - p_BT) ** satimp_beta2 * stats.logp_BT


def loss(stats: TokenStats, *, satimp_beta1: float, satimp_beta2: float) -> Tensor:
    """The mean over answer tokens, per sample (B,)."""
    return stats.mean(token_loss(stats, satimp_beta1=satimp_beta1, satimp_beta2=satimp_beta2))
