"""Gradients of the weights of a real small model, against finite differences of the loss."""

import copy

import pytest
import torch

from baldro.methods.declared import declared
from baldro.methods.objectives import TokenStats, loss_function
from baldro.models import activations_behind, hidden_and_targets, token_logp
from baldro.prompts.batches import collate
from baldro.prompts.encode import Tokens

DECLARED = declared("objectives", "objective")
FIELDS = {
    "rmu": {"rmu_layer": 1},
    "undial": {"undial_beta": 2.0},
    "satimp": {"satimp_beta1": 0.3},
    "simnpo": {"simnpo_beta": 0.2},
}
HOLDING = ("ceu", "satimp", "tnpo", "wga")
"""What holds a weight or a target that the value depends on: its gradient is none of the value's, and the values' test has it."""
ANSWERS = [Tokens(ids=(5, 9, 30, 41, 7), start=2), Tokens(ids=(3, 8, 1), start=2), Tokens(ids=(2, 7, 60, 11), start=1)]
OTHERS = [Tokens(ids=(5, 9, 12, 1), start=2), Tokens(ids=(3, 8, 22, 50, 1), start=2), Tokens(ids=(2, 33, 1), start=1)]


def stats(model, reference, sequences, alternate=None):
    """As a step makes them."""
    batch = collate(sequences)
    with activations_behind(model, 1) as behind:
        hidden_NH, target_N, mask_BT = hidden_and_targets(model, batch)
    with torch.no_grad():
        reference_BT, _ = token_logp(reference, batch)
        reference_NH, _, _ = hidden_and_targets(reference, batch)
    activation_BTH = torch.zeros(*mask_BT.shape, 32, dtype=torch.float64)
    return TokenStats(
        mask_BT=mask_BT,
        hidden_NH=hidden_NH,
        target_N=target_N,
        head=model.get_output_embeddings(),
        reference_BT=reference_BT,
        reference_hidden_NH=reference_NH,
        reference_head=reference.get_output_embeddings(),
        activation_BTH=activation_BTH.masked_scatter(mask_BT[..., None], behind[0][batch.answer_BL]),
        alternate=alternate,
    )


@pytest.mark.parametrize(
    "name, fields", [*((n, FIELDS.get(n, {})) for n in DECLARED), ("tnpo", {"tnpo_weight": "differentiated"})]
)
def test_finite_differences(name, fields, tiny_model):
    reference = copy.deepcopy(tiny_model)
    for weight in reference.parameters():
        weight.data += 0.02 * torch.randn_like(weight)
    weights = list(tiny_model.parameters())
    way = [torch.randn_like(weight) for weight in weights]

    def loss(step=0.0):
        for weight, direction in zip(weights, way, strict=True):
            weight.data += step * direction
        other = stats(tiny_model, reference, OTHERS)
        loss_B = loss_function(name)(stats(tiny_model, reference, ANSWERS, other), **fields)
        for weight, direction in zip(weights, way, strict=True):
            weight.data -= step * direction
        return loss_B @ torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)

    slopes = torch.autograd.grad(loss(), weights, allow_unused=True, materialize_grads=True)
    along = sum((slope * direction).sum().item() for slope, direction in zip(slopes, way, strict=True))
    differences = (loss(1e-6) - loss(-1e-6)).item() / 2e-6
    if name in HOLDING and "tnpo_weight" not in fields:
        assert along != pytest.approx(differences, rel=1e-3)
    else:
        assert along == pytest.approx(differences, rel=1e-5)
    assert abs(along) > 1e-3
