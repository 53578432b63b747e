"""The forward pass that training and scoring share: hidden states that predict answer tokens, and functions of their logits.

Shape legend: B samples, L positions, T answer tokens of the longest answer, N answer tokens of all samples, H width, V vocabulary.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.checkpoint import checkpoint

from baldro.errors import BaldroError
from baldro.models import heads, norms, packing
from baldro.prompts.batches import Batch

HEAD_ELEMENTS = 2**26
"""Logits in memory at a time; more are computed again in the backward pass instead of being kept."""


def hidden_and_targets(model: nn.Module, batch: Batch, *, whole: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """One forward pass of the body; positions that predict no answer token are left out.

    Args:
        whole: the pass has every position of the padded rows, since something else reads them.

    Returns:
        hidden (N, H), target ids (N,), and mask (B, T): True where sample b has a t-th answer token, row by row the order of N.
    """
    predicts_BL = batch.answer_BL[:, 1:]
    count_B = batch.answer_BL.sum(1)
    mask_BT = torch.arange(int(count_B.max()), device=count_B.device) < count_B[:, None]
    target_N = batch.ids_BL[:, 1:][predicts_BL]
    own = None if whole or batch.lengths is None else packing.layout(model, batch.lengths - 1, count_B.device)
    if own:  # the last token of a row predicts nothing
        hidden_1NH = body(model, **packing.inputs(batch.ids_BL, own), use_cache=False)
        return hidden_1NH[0][own.of_tokens(predicts_BL)], target_N, mask_BT
    mask = {} if batch.read_BL is None else {"attention_mask": batch.read_BL.long()}
    hidden_BLH = body(model, input_ids=batch.ids_BL, use_cache=False, **mask)
    return hidden_BLH[:, :-1][predicts_BL], target_N, mask_BT


def body(model: nn.Module, **inputs: Any) -> Tensor:
    """The last hidden states (B, L, H) by one forward pass of the body; of a model that is split over devices, of the gathered one."""
    if run_body := getattr(model, "run_body", None):
        return run_body(**inputs)
    return model.base_model(**inputs).last_hidden_state


@contextmanager
def activations_behind(model: nn.Module, layer: int | None) -> Iterator[list[Tensor]]:
    """A list to which each forward pass in the block adds the hidden states behind a layer, (B, L, H); empty if `layer` is None.

    Raises:
        BaldroError: the model has no such layer.
    """
    found: list[Tensor] = []
    if layer is None:
        yield found
        return
    there = layers(model)
    if layer >= len(there):
        raise BaldroError(
            "no-such-layer", f"layer {layer}: the model has {len(there)} layers; allowed: 0 to {len(there) - 1}"
        )
    hook = there[layer].register_forward_hook(lambda _module, _inputs, output: found.append(_first(output)))
    try:
        yield found
    finally:
        hook.remove()


def layers(model: nn.Module) -> nn.ModuleList:
    """The layers of the body, or of its decoder (OPT)."""
    for body in (model.base_model, model.get_decoder()):
        found = [part for part in body.children() if isinstance(part, nn.ModuleList)]
        if found:
            return found[0]
    raise BaldroError("no-list-of-layers", f"{type(model).__name__} has no list of layers; allowed: models with one")


def _first(output: Tensor | tuple[Tensor, ...]) -> Tensor:
    return output[0] if isinstance(output, tuple) else output


def token_logp(model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """log p of each answer token given all tokens before it.

    Returns:
        log-probabilities (B, T) in float32, 0 where mask is False, and mask (B, T).
    """
    hidden_NH, target_N, mask_BT = hidden_and_targets(model, batch)
    logp_N = through_head(_logp, heads.head(model), hidden_NH, target_N)
    return logp_N.new_zeros(mask_BT.shape).masked_scatter(mask_BT, logp_N), mask_BT


def through_head(
    function: Callable[..., Tensor],
    head: Callable[[Tensor], Tensor],
    hidden_NH: Tensor,
    target_N: Tensor,
    other_head: Callable[[Tensor], Tensor] | None = None,
    other_hidden_NH: Tensor | None = None,
) -> Tensor:
    """`function` of each row's logits, (N, ...); at most HEAD_ELEMENTS logits are in memory at a time.

    Args:
        function: (logits_NV in float32, target_N) -> (N, ...), row by row; with another head also its logits, which have no gradient.
        other_head, other_hidden_NH: of a second model, the reference.
    """

    def of_rows(hidden_NH: Tensor, target_N: Tensor, *other_NH: Tensor) -> Tensor:
        with torch.no_grad():
            others = [_float(other_head(rows)) for rows in other_NH]
        return function(_float(head(hidden_NH)), target_N, *others)

    given = [hidden_NH, target_N, *([other_hidden_NH] if other_hidden_NH is not None else [])]
    rows = max(1, HEAD_ELEMENTS // getattr(head, "out_features", hidden_NH.shape[1]))
    pieces = list(zip(*(one.split(rows) for one in given), strict=True))
    if len(pieces) == 1:
        return of_rows(*pieces[0])
    return torch.cat([checkpoint(of_rows, *piece, use_reentrant=False) for piece in pieces])


def _logp(logits_NV: Tensor, target_N: Tensor) -> Tensor:
    return -F.cross_entropy(logits_NV, target_N, reduction="none")


def _float(logits_NV: Tensor) -> Tensor:
    """Logits in float32, or float64 if they are."""
    return logits_NV if logits_NV.dtype == torch.float64 else logits_NV.float()


def full_float32() -> None:
    """Products of float32 matrices keep their 24 bits from now on: container images (TORCH_ALLOW_TF32_CUBLAS_OVERRIDE=1) and launchers
    switch GPUs to TF32, whose 11 bits move a float32 run by 1e-3, without a word.
    """
    torch.set_float32_matmul_precision("highest")


@contextmanager
def any_shape() -> Iterator[None]:
    """Attention within by kernels that take every shape alike.

    torch prefers cuDNN's on Hopper cards and newer, which builds a plan for each batch and length that it has not seen, for 55 ms to 1 s:
    in generation every pass is one. Its backward pass adds in one order, which other kernels' does not, so that training keeps it.
    """
    before = torch.backends.cuda.cudnn_sdp_enabled()
    torch.backends.cuda.enable_cudnn_sdp(False)
    try:
        yield
    finally:
        torch.backends.cuda.enable_cudnn_sdp(before)


@contextmanager
def twice_differentiable() -> Iterator[None]:
    """Passes within have a second derivative, which the fastest kernels of attention and of norms lack."""
    with sdpa_kernel(SDPBackend.MATH), norms.as_written():
        yield


def recompute_activations(model: nn.Module) -> None:
    """Let activations be computed again in the backward pass instead of being kept."""
    enable = getattr(model, "activation_checkpointing_enable", None)  # its name since transformers 5.23
    (enable or model.gradient_checkpointing_enable)({"use_reentrant": False})
