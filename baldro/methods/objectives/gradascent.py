"""Gradient ascent on the forget set (Yao et al. 2023, arXiv 2310.10683); GradDiff adds a retain loss to it."""

from torch import Tensor

from baldro.methods.objectives import TokenStats, objective


@objective(label="GradAscent", retains=False)
def token_loss(stats: TokenStats) -> Tensor:
    """-CE_t = log p_t, per token (B, T); unbounded below, which is why it diverges."""
    return stats.logp_BT
