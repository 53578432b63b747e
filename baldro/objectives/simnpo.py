"""SimNPO: NPO without a reference, length-normalised (Fan et al. 2024, arXiv 2410.07163, Eq. 4)."""

import torch.nn.functional as F
from torch import Tensor

from baldro.objectives import TokenStats


def loss(stats: TokenStats, *, simnpo_beta: float, simnpo_delta: float) -> Tensor:
    """-(2/b) log sigmoid(b (NLL - delta)), NLL the mean over answer tokens.

    Returns: (B,), above 0.
    """
    return -2 / simnpo_beta * F.logsigmoid(simnpo_beta * (stats.nll_B - simnpo_delta))
