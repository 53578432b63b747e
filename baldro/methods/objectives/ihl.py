"""IHL: LoKU's inverted hinge loss, which hands the true token's probability to the likeliest other (Cha et al. 2024, arXiv 2408.06621)."""

import torch
from torch import Tensor

from baldro.methods.objectives import TokenStats, objective


@objective(label="IHL")
def token_loss(stats: TokenStats) -> Tensor:
    """max(0, 1 + p_y - max_{v != y} p_v), per token (B, T), from 0 to 2; the hinge cuts nothing, since probabilities differ by 1 at most.

    LoKU is this loss with LoRA (rank 32, lr 1e-4) and its own start of the adapters, lora_start fila.
    """
    return stats.of_logits(_hinge)


def _hinge(logits_NV: Tensor, target_N: Tensor) -> Tensor:
    p_NV = logits_NV.softmax(1)
    column_N1 = target_N[:, None]
    other_N = p_NV.scatter(1, column_N1, -torch.inf).amax(1)
    return (1 + p_NV.gather(1, column_N1).squeeze(1) - other_N).clamp(min=0)
