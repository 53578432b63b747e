"""Negative preference optimisation (Zhang et al. 2024, arXiv 2404.05868, Eq. 3)."""

from typing import Annotated

import torch.nn.functional as F
from torch import Tensor

from baldro.methods.objectives import TokenStats, objective


@objective(label="NPO", needs=("reference",))
def loss(stats: TokenStats, *, npo_beta: Annotated[float, "> 0"] = 0.1) -> Tensor:
    """-(2/b) log sigmoid(-b (log p(y) - log r(y))), log-probabilities summed over the answer.

    Args:
        npo_beta: NPO's inverse temperature.

    Returns: (B,), above 0; (2/b) log 2 where policy and reference agree, so 13.86 at the start for b = 0.1.
    """
    return -2 / npo_beta * F.logsigmoid(-npo_beta * (stats.logp_B - stats.reference_B))
