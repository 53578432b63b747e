"""Keys and values of a batch of prompts, computed once and read by every row that continues one of them."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from baldro.models.checkpoint import attention_cache


def empty(model: nn.Module) -> DynamicCache:
    """An empty cache for the model's layers, sliding windows included.

    Raises:
        BaldroError: a layer keeps a running state instead of keys and values; padding would become a part of it.
    """
    return attention_cache(model.config, type(model).__name__)


def left_padded(rows: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Token ids (B, L), mask (B, L) and positions (B, L) of rows padded on the left; each has at least one token."""
    longest = max(map(len, rows))
    ids_BL = torch.tensor([[0] * (longest - len(row)) + list(row) for row in rows], device=device)
    mask_BL = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows], device=device)
    return ids_BL, mask_BL, (mask_BL.cumsum(1) - 1).clamp_min(0)


def select(cache: DynamicCache, rows: Sequence[int]) -> DynamicCache:
    """A copy of a cache with these rows, in this order; a row may be repeated. The cache itself does not change."""
    chosen = copy.copy(cache)
    chosen.layers = [copy.copy(layer) for layer in cache.layers]
    chosen.batch_select_indices(torch.tensor(rows, device=cache.layers[0].device))
    return chosen
