"""SimNPO: NPO without a reference, length-normalised (Fan et al. 2024, arXiv 2410.07163, Eq. 4)."""

from typing import Annotated

import torch.nn.functional as F
from torch import Tensor

from baldro.methods.objectives import TokenStats, objective


@objective(label="SimNPO", defaults={"forget_weight": 0.125})
def loss(stats: TokenStats, *, simnpo_beta: Annotated[float, "> 0"] = 4.5, simnpo_delta: float = 0.0) -> Tensor:
    """-(2/b) log sigmoid(b (NLL - delta)), NLL the mean over answer tokens.

    The paper's margin gamma is b delta.

    Args:
        simnpo_beta: SimNPO's inverse temperature.
        simnpo_delta: SimNPO's reward margin, in nats per token.

    Returns: (B,), above 0.
    """
    return -2 / simnpo_beta * F.logsigmoid(simnpo_beta * (stats.nll_B - simnpo_delta))
