"""Weights rounded to 4 and 8 bits: against bitsandbytes, and the nearest value in float64."""

import copy

import pytest
import torch
from torch import nn

from baldro.models import build
from baldro.models.quantised import BLOCK, TABLES, quantise, rounded
from tests.refusals import refused


def weights(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("to", ["nf4", "fp4"])
def test_four_bits_are_those_of_bitsandbytes(to):
    functional = pytest.importorskip("bitsandbytes.functional")
    weight_OI = weights(48, 80)
    weight_OI[3:5] = 0  # a block without a scale
    stored, state = functional.quantize_4bit(weight_OI.clone(), quant_type=to, blocksize=BLOCK)
    expected = functional.dequantize_4bit(stored, state)
    torch.testing.assert_close(rounded(weight_OI, to), expected, rtol=0, atol=0)


def test_a_block_that_is_not_full_has_its_own_scale_and_the_nearest_values():
    weight_OI = weights(7, 19)
    flat = weight_OI.double().flatten()
    expected = []
    for block in flat.split(BLOCK):
        values = torch.tensor(TABLES["nf4"], dtype=torch.float64) * block.abs().max()
        expected.append(values[(block[:, None] - values).abs().argmin(dim=1)])
    torch.testing.assert_close(rounded(weight_OI, "nf4").double().flatten(), torch.cat(expected), rtol=1e-6, atol=0)


def test_eight_bits_have_a_scale_a_row():
    weight_OI = weights(5, 33)
    weight_OI[2] = 0
    step_O1 = weight_OI.double().abs().amax(dim=1, keepdim=True) / 127
    found = rounded(weight_OI, "int8").double()
    assert ((found - weight_OI).abs() <= step_O1 * 0.5000001).all()
    codes = found[[0, 1, 3, 4]] / step_O1[[0, 1, 3, 4]]
    torch.testing.assert_close(codes, codes.round(), rtol=0, atol=1e-4)
    assert codes.abs().amax(dim=1).round().tolist() == [127] * 4 and not found[2].any()


def test_linear_layers_are_rounded_and_nothing_else():
    shape = dict(vocab_size=90, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    network, _ = build(shape, ["a few words, and some more"], seed=0)
    network = network.to(torch.bfloat16)
    before = copy.deepcopy(network)
    quantise(network, "nf4")
    after = dict(network.named_parameters())
    changed = {name for name, value in before.named_parameters() if not torch.equal(value, after[name])}
    linear = {name for name in after if name.endswith("_proj.weight")}
    assert changed == linear and len(linear) == 7 and all(value.dtype == torch.bfloat16 for value in after.values())
    quantised = {name: value.clone() for name, value in after.items()}
    quantise(network, "nf4")
    assert all(torch.equal(value, quantised[name]) for name, value in network.named_parameters()), "rounded already"
    with refused("unknown-quantised-to", "int4", "int8"):
        quantise(network, "int4")


def test_a_model_without_linear_layers_is_refused():
    network = nn.Sequential(nn.Embedding(3, 4))
    network.get_output_embeddings = lambda: None
    with refused("nothing-to-quantise", "Sequential"):
        quantise(network, "int8")
