"""WGA: gradient ascent whose tokens are weighted by their probability (Wang et al. 2025, arXiv 2502.19301)."""

from typing import Annotated

from torch import Tensor

from baldro.methods.objectives import TokenStats, objective


@objective(label="WGA")
def token_loss(stats: TokenStats, *, wga_beta: Annotated[float, ">= 0"] = 1.0) -> Tensor:
    """-p_t^b CE_t with the weight detached, per token (B, T), at most 0.

    Args:
        wga_beta: WGA's exponent of p; 0 is gradient ascent, the paper's own code uses 5.
    """
    return (wga_beta * stats.logp_BT.detach()).exp() * stats.logp_BT
