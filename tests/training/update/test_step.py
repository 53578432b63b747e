"""The step: what it saw, how many forward passes it takes, and that pieces change nothing."""

import math

import pytest
import torch
from refusals import refused

from baldro.models import packing
from baldro.training.update import Sample

from .conftest import CLOSE, VARIANTS


def test_what_a_step_saw(book):
    run, forget, retain = book.point("npo", variant="baldro-dv"), book.forget_batch(7), book.draw(6, seed=2)
    losses = book.value(run, forget, retain)[1].detach()
    logps = [now.logp for now, _ in book.seen([s.tokens for s in forget])]
    kept = book.retain_value(run, list(book.seen(retain))).item()
    for micro_batch in (64, 2):
        _, step_log = book.ours(run, forget, retain, micro_batch=micro_batch)
        assert step_log.loss_B.tolist() == pytest.approx(losses.tolist(), rel=1e-5)
        assert step_log.weight_B.tolist() == pytest.approx(torch.softmax(losses / 6, 0).tolist(), rel=1e-4)
        assert step_log.nll_B.tolist() == pytest.approx([-x.mean().item() for x in logps], rel=1e-5)
        assert step_log.retain == pytest.approx(kept, rel=1e-5)


def test_npo_starts_at_13_86_and_needs_a_reference(book):
    tokens = [s.tokens for s in book.forget_batch(5)]
    start = [now.logp.tolist() for now, _ in book.seen(tokens)]
    forget = [Sample(tokens=t, reference=r) for t, r in zip(tokens, start, strict=True)]
    _, step_log = book.ours(book.point("npo"), forget, [])
    assert step_log.loss_B.tolist() == pytest.approx([20 * math.log(2)] * 5, rel=1e-5)
    with refused("undeclared-need", "reference"):
        book.ours(book.point("npo"), [Sample(tokens=t) for t in tokens], [])


# Passes over the model -----------------------------------------------------------------------------------------------


def passes(book, run, forget, retain, micro_batch):
    """(rows, with gradients) of every forward pass."""
    calls = []

    def count(_module, _arguments, given):
        rows = given["packed"].shape[0] if "packed" in given else len(given["input_ids"])
        calls.append((rows, torch.is_grad_enabled()))

    packing.prepare(book.model)  # which tries a few tokens
    hook = book.model.base_model.register_forward_pre_hook(count, with_kwargs=True)
    book.ours(run, forget, retain, micro_batch=micro_batch)
    hook.remove()
    assert max(rows for rows, _ in calls) <= micro_batch
    return calls


@pytest.mark.parametrize("variant", ["base", "dv", "dv, easy"])
def test_one_pass_when_all_fits(book, variant):
    run = book.point("npo", **VARIANTS[variant])
    assert passes(book, run, book.forget_batch(9), book.draw(8, seed=2), 17) == [(17, True)]


@pytest.mark.parametrize("variant", ["base", "dv"])
@pytest.mark.parametrize("micro_batch, rows", [(4, [4, 4, 1, 4, 4]), (9, [9, 8]), (16, [9, 8])])
def test_every_sample_goes_forward_once(book, variant, micro_batch, rows):
    calls = passes(
        book, book.point("npo", **VARIANTS[variant]), book.forget_batch(9), book.draw(8, seed=2), micro_batch
    )
    assert calls == [(n, True) for n in rows]


@pytest.mark.parametrize("variant, retained", [("g", 8), ("g by likelihood", 8), ("g, retain cut", 4)])
@pytest.mark.parametrize("micro_batch", [3, 7, 64])
def test_g_ranks_without_gradients_and_goes_on_with_half(book, variant, retained, micro_batch):
    calls = passes(
        book, book.point("npo", **VARIANTS[variant]), book.forget_batch(9), book.draw(8, seed=2), micro_batch
    )
    assert sum(rows for rows, gradients in calls if not gradients) == 9
    assert sum(rows for rows, gradients in calls if gradients) == 4 + retained


@pytest.mark.parametrize("count", [1, 2, 3])
def test_g_keeps_one_of_the_smallest_batches(book, count):
    run, forget, retain = book.point("npo", variant="baldro-g"), book.forget_batch(count), book.draw(2, seed=2)
    gradients, step_log = book.ours(run, forget, retain)
    assert book.distance(gradients, book.update(run, forget, retain)) < CLOSE
    assert sorted(step_log.weight_B.tolist()) == [0.0] * (count - 1) + [1.0]
