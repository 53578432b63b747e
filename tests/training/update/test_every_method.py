"""Every objective with every variant: value, gradient, finite differences; order, micro-batch and padding change nothing."""

import numpy as np
import pytest
import torch

from baldro.runs import OBJECTIVES

from .conftest import CLOSE

OBJECTIVE = sorted(OBJECTIVES)
VARIANT = ["base", "baldro-g", "baldro-dv"]
each = pytest.mark.parametrize("objective", OBJECTIVE)
every = pytest.mark.parametrize("variant", VARIANT)


def batches(book, objective, count=7):
    return book.forget_batch(count), book.draw(6, seed=2) if OBJECTIVES[objective].retains else []


@each
@every
def test_value_and_gradient_are_the_textbooks_in_any_order_and_any_pieces(book, objective, variant):
    forget, retain = batches(book, objective)
    run = book.point(objective, variant=variant)
    total, losses = book.value(run, forget, retain)
    expected, (gradients, logged) = book.gradient(total), book.ours(run, forget, retain)
    assert book.distance(gradients, expected) < CLOSE
    assert logged.loss_B.tolist() == pytest.approx(losses.tolist(), rel=1e-5)
    order = np.random.default_rng(0).permutation(len(forget)).tolist()
    gradients, step_log = book.ours(run, [forget[i] for i in order], retain[::-1], micro_batch=3)
    assert book.distance(gradients, expected) < CLOSE
    for name in ("loss_B", "weight_B", "nll_B"):
        of_sample = getattr(logged, name)[order].tolist()
        assert getattr(step_log, name).tolist() == pytest.approx(of_sample, rel=1e-4, abs=1e-9)
    assert step_log.retain == pytest.approx(logged.retain, rel=1e-5)
    if variant != "base":
        base = book.update(book.point(objective), forget, retain)
        assert book.distance(base, expected) > 0.01, "this batch cannot tell the variants apart"


@each
def test_gradient_is_the_slope(book, objective):
    """Finite differences of the textbook's number along a random direction, what is detached in it held fast."""
    run = book.point(objective, variant="baldro-dv")
    book.frozen = {}
    forget, retain = batches(book, objective)
    book.value(run, forget, retain)  # here the weights are taken
    gradient = book.ours(run, forget, retain, micro_batch=4)[0]
    torch.manual_seed(3)
    along = {name: torch.randn_like(p) * p.detach().norm() for name, p in book.model.named_parameters()}
    h, values = 1e-6, []
    with torch.no_grad():
        for step in (h, -2 * h):
            for name, p in book.model.named_parameters():
                p.add_(along[name], alpha=step)
            values.append(float(book.value(run, forget, retain)[0]))
    slope = sum(float((gradient[name] * along[name]).sum()) for name in along)
    assert slope == pytest.approx((values[0] - values[1]) / (2 * h), rel=1e-4)
