"""The optimiser of a run."""

from typing import Any

import torch
from torch import nn

from baldro.runs import Run


def adamw(model: nn.Module, run: Run) -> torch.optim.AdamW:
    """AdamW with the run's settings: on a GPU in one kernel, which needs no copy of the weights; on a CPU parameter by parameter."""
    on_gpu = next(model.parameters()).device.type == "cuda"
    return torch.optim.AdamW(_groups(model, run.weight_decay), lr=run.lr, fused=on_gpu or None)


def _groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups: weight decay on matrices, none on norms and biases, which have one dimension."""
    trainable = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trainable if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
    ]
