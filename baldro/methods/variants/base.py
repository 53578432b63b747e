"""No reweighting: the plain mean of the batch."""

import torch
from torch import Tensor

from baldro.methods.variants import variant


@variant(label="", uniform=True)
def weights(losses_B: Tensor) -> Tensor:
    """1/n each."""
    return torch.full_like(losses_B, 1 / len(losses_B), dtype=torch.float64, requires_grad=False)
