"""A forward pass without padding: tokens of all rows side by side, padded for attention alone.

Everything in a layer but attention is of one token, so that padding is arithmetic for nothing there: a third of it in a batch of TOFU's
rows. Attention, a small part of so short texts, is the model's own over padded rows. Nothing is approximated.

A model takes part once it has said the same of a few tokens either way (`prepare`); others go on as they are.

Shape legend: B rows, L positions of the longest, N tokens of all rows, S = B L places, D width of a head, H width.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "sdpa_packed"
"""Transformers' name of this attention; without a layout it is sdpa, whose place it takes."""
WORTH = 0.9
"""Share of real tokens from which on padding costs less than moving rows."""
STEP = 16
"""On a GPU rows are padded to a multiple of so many positions: cuDNN's attention builds a plan for each new shape (see `any_shape`)."""
LIMITS = ("sliding_window", "attention_chunk_size")
"""What a config calls the positions that a token sees, where they are not all: rows up to so long are as without it."""
TRIED = ((5, 3), (1, 2, 3, 4, 5))
"""Tokens on which the two ways are compared."""
CLOSE = {torch.float64: 1e-9, torch.float32: 1e-3}
"""Largest difference of hidden states, in units of the largest of them; 5e-2 in 16 bits. A wrong position or mask is off by 0.1 to 1."""


@dataclass(frozen=True)
class Layout:
    """Where tokens are, side by side and in padded rows."""

    shape: tuple[int, int]
    """(B, L), where L may be more than the longest row has."""
    slot_N: Tensor
    """Of each token, its place."""
    token_S: Tensor
    """Of each place, its token; behind the end of a row the row's last, which no token of the row sees."""

    @classmethod
    def of(cls, lengths: np.ndarray, device: torch.device) -> "Layout":
        """Of rows of so many tokens."""
        step, first = STEP if device.type == "cuda" else 1, np.cumsum(lengths) - lengths
        place_L = np.arange(-(-int(lengths.max()) // step) * step)
        token_BL = first[:, None] + np.minimum(place_L, lengths[:, None] - 1)
        slot_N = np.flatnonzero(place_L < lengths[:, None])
        return cls(token_BL.shape, *(torch.from_numpy(x).to(device) for x in (slot_N, token_BL.ravel())))

    def of_tokens(self, x_BL: Tensor) -> Tensor:
        """What padded rows have at each token, (N,)."""
        return x_BL[self.slot_N // self.shape[1], self.slot_N % self.shape[1]]

    def padded(self, x_1hND: Tensor) -> Tensor:
        """(1, heads, N, D) -> (B, heads, L, D)."""
        x_SHD = _Moved.apply(x_1hND[0].transpose(0, 1), self.token_S, self.slot_N)
        return x_SHD.unflatten(0, self.shape).transpose(1, 2)

    def packed(self, x_BLhD: Tensor) -> Tensor:
        """(B, L, heads, D) -> (1, N, heads, D)."""
        return _Moved.apply(x_BLhD.flatten(0, 1), self.slot_N, self.token_S)[None]


class _Moved(torch.autograd.Function):
    """Rows `there` of x. Each has one place to go back to, but for those behind the end of a row, whose gradient is 0.

    So the gradient is moved in the same way, and not added up, which on a GPU would be in any order.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, there: Tensor, back: Tensor) -> Tensor:
        ctx.save_for_backward(there, back)
        ctx.drops = len(there) < len(back)
        return x.index_select(0, there)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        there, back = ctx.saved_tensors
        if not ctx.drops:
            return _Moved.apply(gradient, back, there), None, None
        return _Spread.apply(gradient, there, back), None, None


class _Spread(torch.autograd.Function):
    """The gradient of padded rows by that of their tokens: 0 behind the end of a row."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, slot_N: Tensor, token_S: Tensor) -> Tensor:
        ctx.save_for_backward(slot_N, token_S)
        return x.new_zeros(len(token_S), *x.shape[1:]).index_copy_(0, slot_N, x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        slot_N, token_S = ctx.saved_tensors
        return _Moved.apply(gradient, slot_N, token_S), None, None


def _attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None,
    packed: Layout | None = None, **options: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    """transformers' attention interface."""
    if packed is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    found_BLhD, _ = sdpa_attention_forward(module, *map(packed.padded, (query, key, value)), None, **options)
    return packed.packed(found_BLhD), None


AttentionInterface.register(NAME, _attention)
AttentionMaskInterface.register(NAME, sdpa_mask)


def prepare(model: nn.Module) -> None:
    """Let a model's rows go through it without padding, if it says the same so; its other passes stay as they are.

    A model that is split over devices stays as it was when it was split: a pass without gradients would leave its weights gathered.
    """
    config = model.config.get_text_config() if hasattr(model, "config") and not hasattr(model, "run_body") else None
    if config is None or config._attn_implementation != "sdpa":
        return
    longest = getattr(config, "max_position_embeddings", None) or len(TRIED[-1])
    config._attn_implementation = NAME
    if longest < len(TRIED[-1]) or not _same(model):
        config._attn_implementation = "sdpa"


def layout(model: nn.Module, lengths: np.ndarray, device: torch.device) -> Layout | None:
    """Of rows of so many tokens; None where the model takes no part or hardly any of it would be padding."""
    config, longest = model.config.get_text_config(), int(lengths.max())
    if config._attn_implementation != NAME or lengths.min() < 1 or lengths.sum() > WORTH * len(lengths) * longest:
        return None
    if any(0 < (getattr(config, name, None) or 0) < longest for name in LIMITS):
        return None
    return Layout.of(lengths, device)


def inputs(ids_BL: Tensor, layout: Layout) -> dict[str, Any]:
    """What a body takes: tokens and their positions (1, N), and a mask that stands for itself, so that none is made."""
    return dict(
        input_ids=layout.of_tokens(ids_BL)[None],
        position_ids=(layout.slot_N % layout.shape[1])[None],
        attention_mask=torch.ones(1, 1, 1, 1, dtype=torch.bool, device=ids_BL.device),
        packed=layout,
    )


@torch.no_grad()
def _same(model: nn.Module) -> bool:
    """Whether hidden states of a few tokens are the same either way."""
    from baldro.models.forward import body

    parameter, training = next(model.parameters()), model.training
    lengths = np.array([len(row) for row in TRIED])
    ids_BL = torch.tensor([[*row, *[0] * (max(lengths) - len(row))] for row in TRIED], device=parameter.device)
    model.eval()
    try:
        made = Layout.of(lengths, parameter.device)
        apart_BLH = body(model, input_ids=ids_BL, use_cache=False)
        side_1NH = body(model, **inputs(ids_BL, made), use_cache=False)
    except (TypeError, ValueError, RuntimeError, IndexError):  # the model does not hand the layout on to its attention
        return False
    finally:
        model.train(training)
    expected_NH, found_NH = made.of_tokens(apart_BLH), side_1NH[0]
    most = CLOSE.get(found_NH.dtype, 5e-2) * float(expected_NH.abs().max())
    return found_NH.shape == expected_NH.shape and float((found_NH - expected_NH).abs().max()) <= most
