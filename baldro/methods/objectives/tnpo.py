"""TNPO: NPO token by token, as a weight of gradient ascent (Wang et al. 2025, arXiv 2502.19301)."""

from typing import Annotated, Literal

from torch import Tensor

from baldro.methods.objectives import TokenStats, objective


@objective(label="TNPO", needs=("reference",))
def token_loss(
    stats: TokenStats,
    *,
    tnpo_beta: Annotated[float, "> 0"] = 4.0,
    tnpo_weight: Literal["detached", "differentiated"] = "detached",
) -> Tensor:
    """-2 p_t^b / (p_t^b + r_t^b) CE_t, r the reference, per token (B, T), at most 0.

    With the weight detached, the gradient is that of NPO's loss of each token by itself, -(2/b) log sigmoid(-b (log p_t - log r_t)).

    Args:
        tnpo_beta: TNPO's inverse temperature.
        tnpo_weight: detached, or differentiated like the rest, which is the other published form, usually with tnpo_beta 1.
    """
    logp_BT = stats.logp_BT
    seen_BT = logp_BT.detach() if tnpo_weight == "detached" else logp_BT
    # p^b / (p^b + r^b) without powers of p, which would be 0 / 0 where both are small
    return 2 * (tnpo_beta * (seen_BT - stats.reference_BT)).sigmoid() * logp_BT
