"""The optimiser of a run: AdamW, by what its two moments take (`optimiser`) and how weights are stored (`precision`)."""

from importlib import import_module
from typing import Any

from torch import nn
from torch.optim import AdamW, Optimizer

from baldro.errors import BaldroError
from baldro.models.forward import layers
from baldro.runs import Run
from baldro.training import pieces


def optimiser(model: nn.Module, run: Run) -> Optimizer:
    """AdamW with the run's settings; for bf16 weights that are rounded stochastically, with a float32 update.

    The module of rounding is loaded by its name, so that an edit of it does not concern other runs.
    """
    kind, options = _eight_bit() if run.optimiser == "adamw-8bit" else _plain()
    if run.precision == "bf16-stochastic":
        kind = import_module("baldro.training.rounding").rounded(kind)
    return kind(_groups(model, run.weight_decay), lr=run.lr, **options)


def train_only(model: nn.Module, run: Run) -> None:
    """Leave gradients to the weights that a run trains: all, or of released RMU (rmu_weights down-proj) three layers' output matrices.

    Raises:
        BaldroError: the MLPs of the model have no such matrix.
    """
    if run.lora_rank is not None:
        return  # the adapters see to it
    model.requires_grad_(run.rmu_weights != "down-proj")
    if run.rmu_weights != "down-proj":
        return
    found = layers(model)
    for i in pieces.trained_layers(run, len(found)):
        matrix = getattr(getattr(found[i], "mlp", None), "down_proj", None)
        if matrix is None:
            said = (
                f"rmu_weights down-proj: {type(model).__name__} has no mlp.down_proj; allowed: all, or a model with it"
            )
            raise BaldroError("no-down-proj", said)
        matrix.weight.requires_grad_(True)


def _plain() -> tuple[type[Optimizer], dict[str, Any]]:
    """torch's, in one kernel that reads each number once, and needs no copy of the weights."""
    return AdamW, {"fused": True}


def _eight_bit() -> tuple[type[Optimizer], dict[str, Any]]:
    """bitsandbytes': each moment in 8 bits, of blocks of 256 (Dettmers et al. 2022, arXiv 2110.02861); float32 below 4,096 weights."""
    from bitsandbytes.optim import AdamW8bit  # an optional package; `check_packages` has said it if it is not there

    return AdamW8bit, {}


def _groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups: weight decay on matrices, none on norms and biases, which have one dimension."""
    trainable = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trainable if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
    ]
