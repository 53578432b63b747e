"""Gradient ascent on the forget set: l = -CE, the mean over answer tokens. GradDiff adds a retain loss to it."""

from torch import Tensor

from baldro.objectives import TokenStats


def token_loss(stats: TokenStats) -> Tensor:
    """-CE_t = log p_t, per token (B, T)."""
    return stats.logp_BT


def loss(stats: TokenStats) -> Tensor:
    """-mean_t CE_t, per sample (B,); unbounded below, which is why it diverges (Yao et al. 2023, arXiv 2310.10683)."""
    return stats.mean(token_loss(stats))
