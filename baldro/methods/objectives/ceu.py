"""CE-U: cross-entropy to what the model itself would say if the true token could not be said (Yang 2025, arXiv 2503.01224)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from baldro.methods.objectives import TokenStats, objective


@objective(label="CE-U")
def token_loss(stats: TokenStats) -> Tensor:
    """-sum_v q_v log p_v with q = softmax(logits with the true token at -inf), q detached, per token (B, T), above 0.

    The target is a constant, as in the released code: the gradient of the logits is p - q, of which the absolute values sum to 2 p_y, and
    is that of -log(1 - p_y). Differentiating q too would add the gradient of its entropy. The author leaves out an answer's first token
    and any retain loss (retain_weight: 0); here every answer token counts, and a retain loss is there by default, as with others.
    """
    return stats.of_logits(_without_truth)


def _without_truth(logits_NV: Tensor, target_N: Tensor) -> Tensor:
    q_NV = logits_NV.detach().scatter(1, target_N[:, None], -torch.inf).softmax(1)
    return F.cross_entropy(logits_NV, q_NV, reduction="none")  # q is 0 at the true token, where log p is finite: 0
