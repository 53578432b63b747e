"""Gradient norm of each sample: small for what a model was trained on. One backward pass per sample."""

from collections.abc import Callable, Sequence

import torch
from torch import nn

from baldro.models import token_logp
from baldro.prompts.batches import collate
from baldro.prompts.encode import Tokens
from baldro.scoring import several


@torch.inference_mode(False)
@torch.enable_grad()
def gradient_norms(
    model: nn.Module, sequences: Sequence[Tokens], *, advance: Callable[[Tokens], None] = lambda _: None
) -> list[float]:
    """Mean over the parameter tensors of the L2 norm of the gradient of a sequence's mean token loss.

    Tied tensors count once, tensors that the loss does not depend on not at all. Source: the gradient-norm attack of the published
    evaluation logs (Wang et al. 2024, arXiv 2402.17012).

    Of a split model every process takes the same sequences: their gradients are summed over the processes, so each gives its share.

    Args:
        sequences: without an end of sequence, which the published norms do not count.
        advance: called after each sequence.

    Returns: a norm per sequence, 0 or more. The model is left without gradients.
    """
    model.eval()
    device = next(model.parameters()).device
    norms, among = [], several.place()[1] if several.is_split(model) else 1
    try:
        for sequence in sequences:
            model.zero_grad(set_to_none=True)
            logp_BT, _ = token_logp(model, collate([sequence], device))
            (-logp_BT.mean() / among).backward()
            norms.append(_mean_norm(model))
            advance(sequence)
    finally:
        model.zero_grad(set_to_none=True)
    return norms


def _mean_norm(model: nn.Module) -> float:
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    norms = [torch.linalg.vector_norm(g, dtype=torch.promote_types(g.dtype, torch.float32)) for g in gradients]
    whole = [norm.full_tensor() if hasattr(norm, "full_tensor") else norm for norm in norms]
    return float(torch.stack([norm.double().cpu() for norm in whole]).mean())
