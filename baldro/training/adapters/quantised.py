"""A 4-bit base for adapters: the frozen linear layers in NF4 (QLoRA, Dettmers et al. 2023, arXiv 2305.14314, section 3).

A weight is one of 16 values times the scale of its block of 64; scales are in 8 bits, with a float32 scale for 256 of them: 4.127 bits a
weight. A layer computes with the values that this gives, so these, not the loaded ones, are what training starts from.
"""

from functools import partial

import torch
from torch import Tensor, nn


def quantised(layer: nn.Linear, *, computed: torch.dtype) -> nn.Linear:
    """A layer with the weights of another, which become 4-bit values when it is moved to a device, be it the one where they are.

    Args:
        computed: the type that products are computed in.
    """
    from bitsandbytes.nn import Linear4bit, Params4bit  # an optional package

    options = dict(compress_statistics=True, quant_type="nf4")
    bias = layer.bias is not None
    with torch.device("meta"):
        made = Linear4bit(layer.in_features, layer.out_features, bias=bias, compute_dtype=computed, **options)
    made.weight = Params4bit(layer.weight.detach(), requires_grad=False, module=made, **options)
    made.bias = layer.bias
    made.forward = partial(_forward, made)
    return made


def _forward(layer: nn.Linear, x: Tensor) -> Tensor:
    """As a layer of torch does under autocast: bitsandbytes gives back the type of its input, in which the whole MLP would be kept."""
    return type(layer).forward(layer, x.to(layer.compute_dtype))


def plain(layer: nn.Linear) -> nn.Linear:
    """A layer of torch with the values that a quantised one computes with, in float32."""
    from bitsandbytes.functional import dequantize_4bit

    with torch.device("meta"):
        made = nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None)
    values_OI = dequantize_4bit(layer.weight.data, layer.weight.quant_state).float()
    made.weight, made.bias = nn.Parameter(values_OI), layer.bias
    return made
