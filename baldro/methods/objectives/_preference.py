"""Preference optimisation (DPO: Rafailov et al. 2023, arXiv 2305.18290); its objectives differ in the answer that they prefer."""

import torch.nn.functional as F
from torch import Tensor

from baldro.methods.objectives import TokenStats


def preference(stats: TokenStats, dpo_beta: float) -> Tensor:
    """-(2/b) log sigmoid(b (d(win) - d(y))), d(y) = log p(y) - log r(y), the other answer wins over the gold one, (B,)."""
    win_B = stats.alternate.logp_B - stats.alternate.reference_B
    return -2 / dpo_beta * F.logsigmoid(dpo_beta * (win_B - (stats.logp_B - stats.reference_B)))
