"""What must not matter to any objective: padding, order, company, and the pieces in which the output head works."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import refused

from baldro.methods.declared import declared
from baldro.methods.objectives import loss_function

relaxed = settings(max_examples=5)
DECLARED = declared("objectives", "objective")
NAMES = pytest.mark.parametrize("name", DECLARED)
LENGTHS = st.lists(st.integers(1, 5), min_size=1, max_size=4)
SEEDS = st.integers(0, 10**6)


def same(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)


@relaxed
@given(seed=SEEDS, lengths=LENGTHS, columns=st.integers(1, 3), filling=st.floats(-50, 50))
@NAMES
def test_padding(name, seed, lengths, columns, filling, draw, give, gradients):
    """More columns of it, and whatever stands there."""
    samples = draw(seed, lengths)
    here, there = give(samples), give(samples, columns=columns, filling=filling)
    losses = [loss_function(name)(one.stats) for one in (here, there)]
    same(*losses)
    found, other = (gradients(loss.sum(), one) for loss, one in zip(losses, (here, there), strict=True))
    mask_BT = there.stats.mask_BT
    assert not other["h"][~mask_BT].any()
    same(found["h"][here.stats.mask_BT], other["h"][mask_BT])
    for leaf in ("z", "win"):
        same(found[leaf], other[leaf])


@relaxed
@given(seed=SEEDS, lengths=LENGTHS, data=st.data())
@NAMES
def test_order_and_company(name, seed, lengths, data, draw, give):
    samples = draw(seed, lengths)
    loss_B = loss_function(name)(give(samples).stats)
    order = data.draw(st.permutations(range(len(samples))))
    same(loss_function(name)(give([samples[i] for i in order]).stats), loss_B[order])
    for one, loss in zip(samples, loss_B, strict=True):
        same(loss_function(name)(give([one]).stats), loss[None])


@NAMES
def test_pieces_of_the_head(name, draw, give, gradients, monkeypatch):
    """Gradients of the head's weights too; between forward and backward it must not matter that logits are computed again."""
    samples = draw(4, (3, 1, 5, 2))
    torch.manual_seed(0)
    head = torch.nn.Linear(7, 9, dtype=torch.float64)
    reference = torch.nn.Linear(7, 9, dtype=torch.float64)
    found = []
    for limit in (2**26, 1, 20):
        monkeypatch.setattr("baldro.models.forward.HEAD_ELEMENTS", limit)
        here = give(samples, head=head, reference_head=reference)
        loss_B = loss_function(name)(here.stats)
        weights = torch.autograd.grad(
            loss_B.sum(), [head.weight, head.bias], retain_graph=True, allow_unused=True, materialize_grads=True
        )
        found.append([loss_B, *weights, *gradients(loss_B.sum(), here).values()])
        unused = torch.autograd.grad(loss_B.sum() + 0 * reference.weight.sum(), reference.weight)
        assert not unused[0].any(), "the reference stays as it is"
    for whole, *pieces in zip(*found, strict=True):
        for piece in pieces:
            same(piece, whole)


def finite(name, here, gradients):
    loss_B = loss_function(name)(here.stats)
    return loss_B.isfinite().all() and all(g.isfinite().all() for g in gradients(loss_B.sum(), here).values())


@NAMES
def test_extreme_logits(name, draw, give, gradients):
    """In float32: all alike, near certain, and one token's probability exactly 1, the true one or another."""
    for scale in (0.0, 30.0, 1e4):
        here = give(draw(5, (3, 1, 5), scale=scale), dtype=torch.float32)
        with torch.no_grad():
            here.z_NV[0, here.stats.target_N[0]] += 2 * scale
            here.z_NV[1, here.stats.target_N[1]] -= 2 * scale
        assert finite(name, here, gradients), scale


@pytest.mark.parametrize("name", [name for name in DECLARED if "reference" in DECLARED[name].options.get("needs", ())])
def test_far_from_the_reference(name, draw, give, gradients):
    for gap in (-1e5, 1e5):
        far = [replace(one, r=one.r + gap * np.eye(7)[one.y], z=one.z - gap * np.eye(7)[one.y]) for one in draw(6)]
        assert finite(name, give(far, dtype=torch.float32), gradients), gap


@NAMES
def test_means_over_tokens(name, draw, give):
    lengths = (3, 1, 5, 2)
    stats = give(draw(7, lengths)).stats
    if DECLARED[name].function == "loss":
        with refused("no-token-loss", name):
            loss_function(name, level="token")
        return
    loss_BT = loss_function(name, level="token")(stats).detach().numpy()
    assert not loss_BT[~stats.mask_BT.numpy()].any()
    means = [np.mean(row[:length]) for row, length in zip(loss_BT, lengths, strict=True)]
    np.testing.assert_allclose(loss_function(name)(stats).detach().numpy(), means, rtol=1e-12)
