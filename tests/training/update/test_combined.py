"""Combiners in a step: the update against flattened gradients in float64, whatever the pieces; and what the dual variable does."""

import numpy as np
import pytest
import torch
from torch import nn

from baldro.methods import combiners
from baldro.training.update import Step

from .conftest import CLOSE


def halves(book, run, forget, retain):
    """The two gradients of the whole batch, by the textbook, each one vector."""
    sides = [book.forget_value(run, forget)[0], book.retain_value(run, list(book.seen(retain)))]
    grads = [book.gradient(side) for side in sides]
    return [np.concatenate([g.numpy().ravel() for g in grad.values()]) for grad in grads], grads[0]


def flat(gradients):
    return np.concatenate([g.numpy().ravel() for g in gradients.values()])


PROJECTED = {
    "blur": lambda f, r, gamma, lam: lam * r + (gamma - lam * (r @ f) / (f @ f)) * f,
    "blur-upper": lambda f, r, gamma, lam: gamma * f + (lam - gamma * (f @ r) / (r @ r)) * r,
    "blur-wmdp": lambda f, r, gamma, lam: gamma * f + lam * (r - f * (f @ r) / (f @ f)),
}


@pytest.mark.parametrize("variant", ["base", "baldro-g", "baldro-dv"])
@pytest.mark.parametrize("combiner", PROJECTED)
def test_a_projection_is_that_of_the_whole_batchs_gradients(book, combiner, variant):
    """Accumulation 1 (one pass a half) and 4 (8 samples, two at a time)."""
    run = book.point("npo", variant=variant, combiner=combiner, forget_weight=0.7, retain_weight=1.3)
    forget = book.forget_batch(8)
    retain = [*(s.tokens for s in forget[:5]), *book.draw(3, seed=2)]  # or the two would be all but orthogonal
    (f, r), _ = halves(book, run, forget, retain)
    expected = PROJECTED[combiner](f, r, 0.7, 1.3)
    plain = 0.7 * f + 1.3 * r
    assert np.linalg.norm(expected - plain) > 0.01 * np.linalg.norm(plain), "nothing is projected here"
    for micro_batch in (8, 2):
        gradients, _ = book.ours(run, forget, retain, micro_batch=micro_batch)
        assert np.linalg.norm(flat(gradients) - expected) < CLOSE * np.linalg.norm(expected)


def test_blur_is_clipped_after_the_projection(book):
    """The loop clips what the step leaves: its direction is the projected one, and its length the bound."""
    run = book.point("npo", combiner="blur")
    forget, retain = book.forget_batch(6), book.draw(6, seed=2)
    gradients, _ = book.ours(run, forget, retain, micro_batch=2)
    nn.utils.clip_grad_norm_(book.model.parameters(), 0.01)
    clipped = np.concatenate([p.grad.numpy().ravel() for p in book.model.parameters()])
    assert clipped == pytest.approx(flat(gradients) * 0.01 / np.linalg.norm(flat(gradients)), rel=1e-4, abs=1e-12)


def test_blur_of_bf16_weights_accumulates_in_float32(book):
    """16 pieces: summed in bf16, the small ones would be lost."""
    run = book.point("graddiff", combiner="blur", precision="bf16-only")
    forget, retain = book.forget_batch(16), book.draw(16, seed=2)
    book.model.to(torch.bfloat16)
    step = Step(book.model, run, micro_batch=1)
    seen = []
    take = step.gradients.take
    step.gradients.take = lambda: seen.append(take()) or [g.clone() for g in seen[-1]]
    step.accumulate(book.given(run, forget), retain)
    assert all(g.dtype == torch.float32 for half in seen for g in half)
    whole = torch.cat([g.flatten() for g in seen[0]])
    parts = torch.zeros_like(whole)
    for sample in forget:
        book.model.zero_grad(set_to_none=True)
        alone = Step(book.model, book.point("graddiff", forget_weight=1), micro_batch=1)
        alone.accumulate(book.given(run, [sample]), [])
        parts += torch.cat([p.grad.float().flatten() for p in book.model.parameters()]) / 16
    assert float((whole - parts).norm() / parts.norm()) < 5e-3


@pytest.mark.parametrize("micro_batch", [64, 3])
def test_uno_adds_the_slope_of_the_penalty(book, micro_batch, monkeypatch):
    """Against finite differences of the penalty itself, weights of the samples held fast; also when the head goes in pieces."""
    run = book.point("graddiff", combiner="uno", forget_weight=0.7, retain_weight=1.3)
    forget, retain = book.forget_batch(5), book.draw(4, seed=2)
    if micro_batch == 3:
        monkeypatch.setattr("baldro.models.forward.HEAD_ELEMENTS", 3 * 64)
    gradients, _ = book.ours(run, forget, retain, micro_batch=micro_batch)
    _, penalty = combiners.function("uno")

    def value():
        (f, r), _ = halves(book, run, forget, retain)
        return penalty([torch.tensor(f)], [torch.tensor(r)])[0]

    (_, r), like = halves(book, run, forget, retain)
    torch.manual_seed(5)
    along = {name: torch.randn_like(g) for name, g in like.items()}
    h, values = 1e-5, []
    parameters = dict(book.model.named_parameters())
    for step in (h, -2 * h):
        for name, p in parameters.items():
            p.data.add_(along[name], alpha=step)
        values.append(value())
    for name, p in parameters.items():
        p.data.add_(along[name], alpha=h)
    slope = (values[0] - values[1]) / (2 * h)
    assert abs(slope) > 1e-4, "the penalty is flat here"
    ours = float(flat(gradients) @ flat(along) - 1.3 * r @ flat(along)) / 0.7
    assert ours == pytest.approx(slope, rel=1e-4)


def test_the_dual_variable_waits_for_the_end_of_its_warm_up(book):
    run = book.point("npo", combiner="dual", dual_epsilon=0.5, dual_step=0.1, retain_weight=1, dual_warmup_epochs=2)
    step = Step(book.model, run, micro_batch=64)
    found = []
    for epoch in (0.0, 1.9, 2.0):
        retain = step.accumulate(book.given(run, book.forget_batch(5)), book.draw(5, seed=2), epoch=epoch).retain
        found.append(step.lam)
    assert found == [1, 1, pytest.approx(1 + 0.1 * (retain - 0.5))] and retain != 0.5


def test_the_dual_variable_moves_with_the_constraint_and_is_part_of_the_state(book):
    run = book.point("npo", combiner="dual", dual_epsilon=0.5, dual_step=0.1, retain_weight=1)
    forget, retain = book.given(run, book.forget_batch(5)), book.draw(5, seed=2)
    step = Step(book.model, run, micro_batch=4)
    told = [step.accumulate(forget, retain).retain]
    assert step.lam == pytest.approx(1 + 0.1 * (told[0] - 0.5))
    other = Step(book.model, run, micro_batch=64)
    other.load_state_dict(step.state_dict())
    book.model.zero_grad(set_to_none=True)
    other.accumulate(forget, retain)
    plain = book.update(book.point("npo", retain_weight=step.lam), book.forget_batch(5), retain)
    ours = {name: p.grad for name, p in book.model.named_parameters()}
    assert book.distance(ours, plain) < CLOSE
