"""What each half may be: every variant on the forget half, other losses and variants on the retain half; pieces change nothing."""

import pytest
import torch

from baldro.methods import variants as robust
from baldro.runs import VARIANTS
from baldro.training.update import Step

from .conftest import CLOSE

STRENGTH = {"chi2": dict(chi2_rho=0.6), "topk": dict(topk_temperature=4), "baldro-dv-learned": dict(dv_rho=0.3)}
RETAINS = {
    "kl": dict(retain_loss="kl"),
    "kl per sample": dict(retain_loss="kl", retain_normalisation="sample-mean"),
    "worst retained, dv": dict(retain_variant="baldro-dv", retain_dv_beta=0.5, retain_normalisation="sample-mean"),
    "worst retained, g": dict(retain_variant="baldro-g", retain_g_fraction=0.5, retain_normalisation="token-sum"),
    "worst retained of kl": dict(
        retain_variant="baldro-dv", retain_dv_beta=0.1, retain_normalisation="sample-mean", retain_loss="kl"
    ),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_weights_are_of_the_whole_batch_for_every_variant(book, variant):
    """The gradient is that of the losses with the weights that the variant gives the whole batch, in any pieces."""
    run, forget, retain = (
        book.point("npo", variant=variant, **STRENGTH.get(variant, {})),
        book.forget_batch(9),
        book.draw(8, 2),
    )
    losses = book.value(run if variant in ("base", "baldro-g", "baldro-dv") else book.point("npo"), forget, retain)[1]
    fields = {name: getattr(run, name) for name in VARIANTS[variant].fields}
    weights = robust.weights(variant)(losses.detach(), **fields)
    kept = book.retain_value(run, list(book.seen(retain)))
    expected = book.gradient(0.7 * (weights * losses).sum() + 1.3 * kept)
    for micro_batch in (64, 4, 1):
        gradients, step_log = book.ours(run, forget, retain, micro_batch=micro_batch)
        assert book.distance(gradients, expected) < CLOSE
        assert step_log.weight_B.tolist() == pytest.approx(weights.tolist(), rel=1e-4, abs=1e-8)


@pytest.mark.parametrize("name", RETAINS)
def test_a_retain_loss_is_the_textbooks(book, name):
    run, forget, retain = book.point("npo", variant="baldro-dv", **RETAINS[name]), book.forget_batch(6), book.draw(8, 2)
    expected = book.update(run, forget, retain)
    told = book.retain_value(run, list(book.seen(retain))).item()
    for micro_batch in (64, 3):
        gradients, step_log = book.ours(run, forget, retain, micro_batch=micro_batch)
        assert book.distance(gradients, expected) < CLOSE
        if "dv" not in name and "of kl" not in name:
            assert step_log.retain == pytest.approx(told, rel=1e-5)
    plain = book.update(book.point("npo", variant="baldro-dv"), forget, retain)
    assert book.distance(plain, expected) > 0.01


def test_kl_to_the_reference_is_0_where_the_model_is_the_reference(book):
    book.reference = book.model
    run, retain = book.point("npo", retain_loss="kl", forget_weight=0), book.draw(5, 2)
    gradients, step_log = book.ours(run, book.forget_batch(2), retain)
    assert step_log.retain == pytest.approx(0, abs=1e-9)
    assert max(float(g.norm()) for g in gradients.values()) < 1e-6


def test_the_reference_is_not_a_second_model(book):
    """Hidden states of answer tokens and one head: no parameter of the model is held twice but the head's."""
    run, retain = book.point("npo", retain_loss="kl"), book.draw(5, 2)
    cache = book.cache(run, [], retain)
    assert {t: len(h) for t, h in cache.hidden.items()} == {t: t.answer for t in retain}
    assert cache.head.linear.keywords["weight"].shape == book.model.lm_head.weight.shape
    assert not cache.activation and not book.cache(book.point("npo"), [], retain).hidden


def test_the_reference_stays_while_the_model_moves(book):
    run, forget, retain = book.point("undial"), book.forget_batch(4), book.draw(4, 2)
    before = book.update(run, forget, retain)
    book.reference = book.model
    cache = book.cache(run, forget, retain)
    with torch.no_grad():
        for parameter in book.model.parameters():
            parameter.mul_(1.5)
    book.model.zero_grad(set_to_none=True)
    Step(book.model, run, micro_batch=3, cache=cache).accumulate(book.given(run, forget), retain)
    moved = {name: p.grad for name, p in book.model.named_parameters()}
    assert book.distance(moved, before) > 0.1
    again = book.model
    with torch.no_grad():
        for parameter in again.parameters():
            parameter.div_(1.5)
    assert all(torch.isfinite(g).all() for g in moved.values())
