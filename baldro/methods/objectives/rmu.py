"""RMU: hidden states of the forget set are steered to a random direction (Li et al. 2024, arXiv 2403.03218)."""

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from torch import Tensor

from baldro.methods.objectives import TokenStats, objective


@objective(label="RMU", needs=("activations",), defaults={"retain_loss": "activations"})
def token_loss(
    stats: TokenStats,
    *,
    rmu_layer: Annotated[int, ">= 0"] = 7,
    rmu_steering: Annotated[float, "> 0"] = 2.0,
    rmu_positions: Literal["answer", "padded"] = "answer",
    rmu_weights: Literal["all", "down-proj"] = "all",
    rmu_topics: Literal["alternating", "mixed"] = "alternating",
) -> Tensor:
    """Mean over the width of (h - c u)^2, h the hidden state at each answer token, u a random unit vector, per token (B, T).

    Each sample is divided by its own number of answer tokens. A widespread implementation divides a (B,) sum by (B, 1) counts,
    which broadcasts: every sample is then divided by every sample's count. With rmu_positions padded a token has its sample's mean over all
    positions of the batch, so that the mean over samples is torch's mse_loss of the padded batch, as released.

    Args:
        rmu_layer: The layer whose output is steered, counted from 0.
        rmu_steering: RMU's length c of the steering vector; 6.5 for WMDP.
        rmu_positions: Where RMU takes its means, of the retain loss activations too: at answer tokens, or at all positions of a half of the
            batch, prompts, BOS and the padding on the left included (released).
        rmu_weights: What RMU trains: all weights, or the MLPs' output matrices of rmu_layer and the two layers before it (released).
        rmu_topics: Which samples RMU takes in a step, of a benchmark whose rows say a topic: of one topic after the other, each with a
            vector and retain samples of its own (released); or of all, steered to one vector.

    Cost: one forward and one backward a sample up to the layer would do; with retain_loss activations the reference's are taken once a run.
    """
    h_BTH = stats.activation_BTH
    h_BTH = h_BTH.to(torch.promote_types(h_BTH.dtype, torch.float32))
    u_B1H = _directions(stats.topics, h_BTH.shape[-1], stats.seed).to(h_BTH)[:, None]
    away_BT = (h_BTH - rmu_steering * u_B1H).square().mean(-1)
    return stats.at_answers(away_BT)


def _directions(topics: Sequence[int], width: int, seed: int) -> Tensor:
    """Of each sample the unit vector along its topic's draw from [0, 1)^H, (B, H).

    The draws, one topic after the other, are of the seed alone: every step, device and micro-batch steers the same way.
    """
    drawn_KH = torch.rand(max(topics) + 1, width, generator=torch.Generator().manual_seed(seed))
    return torch.stack([u_H / u_H.norm() for u_H in drawn_KH])[list(topics)]
