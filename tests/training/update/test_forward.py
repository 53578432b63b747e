"""The forward pass that all share."""

import pytest
import torch

from baldro.models import token_logp
from baldro.prompts.batches import collate

from .conftest import CLOSE


@pytest.mark.parametrize("rows", [None, 3, 1])
def test_token_logp_of_a_padded_batch_is_that_of_each_sequence_alone(book, monkeypatch, rows):
    """Also when the head is taken a few rows at a time and computed again in the backward pass."""
    sequences, widths = book.draw(6, seed=3), []
    alone = [next(book.seen([s]))[0].logp for s in sequences]
    scale = [torch.linspace(0.5, 2, len(x), dtype=torch.float64) for x in alone]
    total = sum((x * s).sum() for x, s in zip(alone, scale, strict=True))
    expected = torch.autograd.grad(total, list(book.model.parameters()))
    if rows:
        monkeypatch.setattr("baldro.models.forward.HEAD_ELEMENTS", rows * 64)
    hook = book.model.lm_head.register_forward_hook(lambda _, args, logits: widths.append(len(logits)))
    logp_BT, mask_BT = token_logp(book.model, collate(sequences))
    hook.remove()
    assert sum(widths) == sum(s.answer for s in sequences), "only answer tokens go through the head"
    assert max(widths) == (rows or sum(widths))
    assert mask_BT.sum(1).tolist() == [s.answer for s in sequences]
    assert (logp_BT[~mask_BT] == 0).all()
    assert logp_BT[mask_BT].tolist() == pytest.approx(torch.cat(alone).tolist(), rel=1e-6, abs=1e-6)
    (logp_BT[mask_BT] * torch.cat(scale)).sum().backward()
    for p, g in zip(book.model.parameters(), expected, strict=True):
        assert float((p.grad - g).norm() / g.norm()) < CLOSE
