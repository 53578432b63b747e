"""Released forms, each by itself: what it changes, against the textbook; pieces change nothing."""

import pytest

from .conftest import CLOSE, VARIANTS

RELEASED = {
    "direction": ("npo", dict(variant="baldro-dv"), dict(dv_direction="easy")),
    "scope of base": ("npo", {}, dict(robust_scope="micro-batch", micro_batch_size=4)),
    "scope of retain kl": ("npo", dict(retain_loss="kl"), dict(robust_scope="micro-batch", micro_batch_size=4)),
    "scope of dv": ("npo", dict(variant="baldro-dv"), dict(robust_scope="micro-batch", micro_batch_size=4)),
    "scope of g": ("npo", dict(variant="baldro-g"), dict(robust_scope="micro-batch", micro_batch_size=4)),
    "normalisation": ("npo", dict(variant="baldro-dv"), dict(retain_normalisation="token-sum")),
    "level": ("satimp", dict(variant="baldro-dv"), dict(dv_level="token")),
    "level of graddiff": ("graddiff", dict(variant="baldro-dv"), dict(dv_level="token")),
    "scope and level": ("satimp", dict(variant="baldro-dv", dv_level="token"), dict(robust_scope="micro-batch")),
    "token mean": ("satimp", {}, dict(forget_normalisation="token-mean")),
    "token mean of dv": ("wga", dict(variant="baldro-dv"), dict(forget_normalisation="token-mean")),
    "token mean of g": ("graddiff", dict(variant="baldro-g"), dict(forget_normalisation="token-mean")),
    "rank": ("npo", dict(variant="baldro-g"), dict(g_rank="likelihood")),
    "cut": ("npo", dict(variant="baldro-g"), dict(g_retain="cut")),
    "scope and cut": ("npo", dict(variant="baldro-g", g_retain="cut"), dict(robust_scope="micro-batch")),
}


@pytest.mark.parametrize("name", RELEASED)
def test_a_released_form_changes_what_it_should(book, name):
    objective, fields, switch = RELEASED[name]
    forget, retain = book.forget_batch(10), book.draw(10, seed=2)
    ordinary, released = book.point(objective, **fields), book.point(objective, **fields, **switch)
    expected = book.update(released, forget, retain)
    (whole, logged), (pieces, step_log) = (book.ours(released, forget, retain, micro_batch=size) for size in (64, 3))
    assert book.distance(whole, expected) < CLOSE and book.distance(pieces, expected) < CLOSE
    for name in ("loss_B", "weight_B", "nll_B"):
        assert getattr(step_log, name).tolist() == pytest.approx(getattr(logged, name).tolist(), rel=1e-4, abs=1e-9)
    assert step_log.retain == pytest.approx(logged.retain)
    assert book.distance(book.update(ordinary, forget, retain), expected) > 0.01


@pytest.mark.parametrize("variant", ["g", "dv", "dv, easy"])
def test_alone_in_its_micro_batch_a_sample_is_weighted_as_in_base(book, variant):
    """And the token mean of one retain sample is its own."""
    forget, retain = book.forget_batch(5), book.draw(5, seed=2)
    alone = book.point("npo", **VARIANTS[variant], robust_scope="micro-batch", micro_batch_size=1)
    base = book.ours(book.point("npo", retain_normalisation="sample-mean"), forget, retain)[0]
    gradients, step_log = book.ours(alone, forget, retain)
    assert book.distance(gradients, base) < CLOSE
    assert step_log.weight_B.tolist() == pytest.approx([0.2] * 5)
