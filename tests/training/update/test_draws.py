"""What a step must not depend on: which parameters its pieces and combiner reach, what dropout draws; and what it says of itself."""

import copy
from itertools import product

import numpy as np
import pytest
import torch

from baldro.training.loop import _seed
from baldro.training.order import DROPOUT, ROUNDING
from baldro.training.update import Step

SCOPED = dict(robust_scope="micro-batch", micro_batch_size=2)


@pytest.mark.parametrize("micro_batch", [2, 64])
@pytest.mark.parametrize("options", [{}, dict(combiner="blur"), dict(combiner="uno"), dict(combiner="dual"), SCOPED])
def test_what_no_loss_depends_on_has_no_gradient(book, options, micro_batch):
    """RMU with its own retain loss looks at hidden states: what is behind them must not be decayed, as it would be with zeros."""
    run = book.point("rmu", **options)
    forget, retain = book.forget_batch(5), book.draw(5, seed=2)
    book.ours(run, forget, retain, micro_batch=micro_batch)
    behind = (
        "model.norm.",
        *(f"model.layers.{i}." for i in range(run.rmu_layer + 1, book.model.config.num_hidden_layers)),
    )
    untouched = {name for name, p in book.model.named_parameters() if p.grad is None}
    assert untouched == {name for name, _ in book.model.named_parameters() if name.startswith(behind)}


def with_dropout(model, share=0.5):
    model = copy.deepcopy(model).train()
    for layer in model.model.layers:
        layer.self_attn.attention_dropout = share
    return model


@pytest.mark.parametrize("scope", [{}, SCOPED])
def test_which_samples_are_hard_does_not_depend_on_dropout(book, scope):
    """And the kept ones are trained with it: their losses are of other draws."""
    run = book.point("npo", variant="baldro-g", **scope)
    forget, retain, found = book.forget_batch(6), book.draw(6, seed=2), []
    for seed in (None, 1, 2):
        model = book.model if seed is None else with_dropout(book.model)
        torch.manual_seed(seed or 0)
        model.zero_grad(set_to_none=True)
        step_log = Step(model, run, micro_batch=4).accumulate(book.given(run, forget), retain)
        found.append((step_log, np.concatenate([p.grad.numpy().ravel() for p in model.parameters()])))
        assert model.training or seed is None, "it goes on in training as it was"
    (plain, _), *drawn = found
    for step_log, _ in drawn:
        kept = plain.weight_B > 0
        assert torch.equal(step_log.weight_B, plain.weight_B) and not torch.equal(
            step_log.loss_B[kept], plain.loss_B[kept]
        )
        assert torch.equal(step_log.loss_B[~kept], plain.loss_B[~kept])
    assert not np.array_equal(drawn[0][1], drawn[1][1])


def test_every_stream_step_and_device_has_draws_of_its_own():
    """Whatever was drawn before."""

    def drawn(*place):
        torch.rand(3)
        _seed(*place)
        return tuple(torch.rand(4).tolist())

    places = [*product((0, 1), (DROPOUT, ROUNDING), (0, 1, 2), (0, 1))]
    first = {place: drawn(*place) for place in places}
    assert len(set(first.values())) == len(places)
    assert {place: drawn(*place) for place in reversed(places)} == first


@pytest.mark.parametrize("micro_batch", [2, 64])
@pytest.mark.parametrize("direction", ["hard", "easy"])
def test_weights_times_losses_are_what_descends_by_token_too(book, micro_batch, direction):
    run = book.point("satimp", variant="baldro-dv", dv_level="token", dv_beta=0.05, dv_direction=direction)
    forget = book.forget_batch(5)
    _, step_log = book.ours(run, forget, book.draw(5, seed=2), micro_batch=micro_batch)
    units = torch.cat([book.token_losses(run, *one) for one in book.seen([s.tokens for s in forget])])
    units = units.detach()
    weights = torch.softmax((units if direction == "hard" else -units) / run.dv_beta, 0)
    assert float((step_log.weight_B * step_log.loss_B).sum()) == pytest.approx(float((weights * units).sum()), rel=1e-5)
    assert float(step_log.weight_B.sum()) == pytest.approx(1)
