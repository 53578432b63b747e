"""Weights rounded to 4 or 8 bits and put back as they were stored: what a quantised model computes with, on any machine.

The output head, embeddings and norms stay, as in bitsandbytes. Products are computed in the type of the weights, and activations are not
rounded: LLM.int8 rounds them too, and keeps columns of outliers.

O outputs, I inputs, N blocks, S weights in a block.
"""

import torch
from torch import Tensor, nn

from baldro.errors import BaldroError, unknown

BLOCK = 64
"""Weights with a scale of their own, in the order in which they are stored."""
TABLES = {
    "nf4": (
        *(
            -1.0,
            -0.6961928009986877,
            -0.5250730514526367,
            -0.39491748809814453,
            -0.28444138169288635,
            -0.18477343022823334,
        ),
        *(
            -0.09105003625154495,
            0.0,
            0.07958029955625534,
            0.16093020141124725,
            0.24611230194568634,
            0.33791524171829224,
        ),
        *(0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0),
    ),
    "fp4": tuple(sorted({sign * value / 12 for value in (0, 0.0625, 2, 3, 4, 6, 8, 12) for sign in (-1, 1)})),
}
"""Ascending values of a weight, in units of the largest of its block (bitsandbytes; nf4: Dettmers et al. 2023, arXiv 2305.14314)."""
LARGEST = 127
"""The largest 8-bit value."""


def quantise(network: nn.Module, to: str) -> None:
    """Round the weights of a model's linear layers in place.

    Args:
        to: nf4, fp4 or int8.

    Raises:
        BaldroError: no such values; a model without linear layers.
    """
    head = network.get_output_embeddings()
    layers = [each for each in network.modules() if isinstance(each, nn.Linear) and each is not head]
    if not layers:
        raise BaldroError(
            "nothing-to-quantise",
            f"{type(network).__name__} has no linear layers (torch.nn.Linear) but its head; allowed: a model with them",
        )
    for layer in layers:
        layer.weight.data = rounded(layer.weight.data, to)


def rounded(weight_OI: Tensor, to: str) -> Tensor:
    """The nearest values that `to` has, (O, I), in the weight's own type."""
    if to == "int8":
        scale_O1 = weight_OI.float().abs().amax(dim=1, keepdim=True) / LARGEST
        return (scale_O1 * (weight_OI.float() / _over(scale_O1)).round()).to(weight_OI.dtype)
    if to not in TABLES:
        raise unknown("quantised_to", to, [*TABLES, "int8"])
    flat = weight_OI.float().flatten()
    blocks_NS = nn.functional.pad(flat, (0, -len(flat) % BLOCK)).view(-1, BLOCK)
    table = torch.tensor(TABLES[to], device=flat.device)
    scale_N1 = blocks_NS.abs().amax(dim=1, keepdim=True)
    nearest_NS = torch.bucketize(blocks_NS / _over(scale_N1), (table[1:] + table[:-1]) / 2)
    values_NS = table[nearest_NS] * scale_N1
    return values_NS.flatten()[: len(flat)].view_as(weight_OI).to(weight_OI.dtype)


def _over(scale: Tensor) -> Tensor:
    """A scale to divide by: of weights that are all 0 it does not matter."""
    return scale.where(scale > 0, 1)
