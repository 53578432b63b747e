"""Gradient difference: ascent on forget, descent on retain (Liu et al. 2022, arXiv 2203.12817)."""

from torch import Tensor

from baldro.methods.objectives import TokenStats, objective


@objective(label="GradDiff")
def token_loss(stats: TokenStats) -> Tensor:
    """-CE_t = log p_t, per token (B, T), as gradient ascent's."""
    return stats.logp_BT
