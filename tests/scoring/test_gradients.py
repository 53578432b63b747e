"""Gradient norms against torch.autograd.grad of whole logits, in float64."""

import pytest
import torch

from baldro.prompts.encode import Tokens
from baldro.scoring import gradients

SEQUENCES = [
    Tokens(ids=(0, 5, 9, 13, 40, 2), start=3),
    Tokens(ids=(0, 7), start=1),
    Tokens(ids=(3, 3, 60, 11), start=1),
]


def norm(model, sequence):
    ids = torch.tensor(sequence.ids)
    logits = model(input_ids=ids[None]).logits[0, sequence.start - 1 : -1]
    loss = torch.nn.functional.cross_entropy(logits, ids[sequence.start :])
    parts = torch.autograd.grad(loss, list(model.parameters()))
    return sum(float(part.double().square().sum().sqrt()) for part in parts) / len(parts)


def test_norms_are_means_over_the_parameter_tensors(tiny_model):
    """A tied embedding counts once."""
    assert tiny_model.get_output_embeddings().weight is tiny_model.get_input_embeddings().weight
    expected = [norm(tiny_model, s) for s in SEQUENCES]
    assert gradients.gradient_norms(tiny_model, SEQUENCES) == pytest.approx(expected, rel=1e-5)  # token_logp is float32
    assert all(p.grad is None for p in tiny_model.parameters()) and not tiny_model.training


def test_they_can_be_taken_without_gradients_and_leave_none(tiny_model):
    for parameter in tiny_model.parameters():
        parameter.grad = torch.ones_like(parameter)
    expected = [norm(tiny_model, s) for s in SEQUENCES[:2]]
    seen = []
    with torch.no_grad():
        found = gradients.gradient_norms(tiny_model, SEQUENCES[:2], advance=seen.append)
    assert found == pytest.approx(expected, rel=1e-5) and seen == SEQUENCES[:2]
    assert all(p.grad is None for p in tiny_model.parameters())
