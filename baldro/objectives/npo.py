"""Negative preference optimisation (Zhang et al. 2024, arXiv 2404.05868, Eq. 3)."""

import torch.nn.functional as F
from torch import Tensor

from baldro.errors import BaldroError
from baldro.objectives import TokenStats


def loss(stats: TokenStats, *, npo_beta: float) -> Tensor:
    """-(2/b) log sigmoid(-b (log p(y) - log r(y))), log-probabilities summed over the answer.

    Returns: (B,), above 0; (2/b) log 2 where policy and reference agree, so 13.86 at the start for b = 0.1.
    """
    if stats.reference_B is None:
        raise BaldroError("npo needs the reference's log-probabilities; allowed: a file that `baldro reference` wrote")
    return -2 / npo_beta * F.logsigmoid(-npo_beta * (stats.logp_B - stats.reference_B))
