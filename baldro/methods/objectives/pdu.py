"""PDU: flat logits on the forget set, under a constraint on the retain loss (Entesari et al. 2025, arXiv 2506.05314)."""

from torch import Tensor

from baldro.methods.objectives import TokenStats, objective


@objective(label="PDU", defaults={"combiner": "dual"})
def token_loss(stats: TokenStats) -> Tensor:
    """(max_v z_v - mean_v z_v)^2 of the logits z, per token (B, T), at least 0; it does not look at which token is the true one.

    Here z is what predicts each answer token. open-unlearning took the mean over every position, prompts and padding too, until October
    2025; since then (0e57336) its mask is that of the labels, unshifted: z behind each answer token, which predicts the next one. So the
    first answer token's z is left out, and what follows the last one is counted.
    """
    return stats.of_logits(_margin)


def _margin(logits_NV: Tensor, target_N: Tensor) -> Tensor:
    return (logits_NV.amax(1) - logits_NV.mean(1)).square()
