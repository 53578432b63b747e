"""What token statistics hand out, what they refuse, and what they see on the way."""

import pytest
import torch
from refusals import refused

from baldro.methods.declared import declared
from baldro.methods.objectives import TokenStats, loss_function

DECLARED = declared("objectives", "objective")
NAMES = pytest.mark.parametrize("name", DECLARED)
NEEDS = {name: DECLARED[name].options.get("needs", ()) for name in DECLARED}
ALL = ("reference", "reference_logits", "activations", "idk", "alternates")
ASKED = [(name, need) for name in DECLARED for need in NEEDS[name]]


@pytest.mark.parametrize("name, need", ASKED)
def test_without_what_it_needs_a_loss_is_refused_in_one_line(name, need, draw, give):
    rest = [other for other in NEEDS[name] if other != need]
    with refused("undeclared-need", need):
        loss_function(name)(give(draw(0), rest).stats)


def test_an_answer_that_wins_has_its_own_reference(draw, give):
    here = give(draw(0), ["reference", "idk"])
    here.win.stats._reference_BT = None
    with refused("undeclared-need", "reference"):
        loss_function("idkdpo")(here.stats)


@NAMES
def test_what_it_does_not_need_changes_nothing(name, draw, give):
    samples = draw(1)
    least, most = (loss_function(name)(give(samples, needs).stats) for needs in (NEEDS[name], ALL))
    assert least.tolist() == most.tolist()


@NAMES
def test_every_need_is_one_that_there_is(name):
    assert set(NEEDS[name]) <= set(ALL)
    assert not {"idk", "alternates"} <= set(NEEDS[name])


def test_needs_of_the_methods_that_the_literature_names():
    assert {name: set(needs) for name, needs in NEEDS.items() if needs} == {
        "npo": {"reference"},
        "tnpo": {"reference"},
        "idkdpo": {"reference", "idk"},
        "altpo": {"reference", "alternates"},
        "undial": {"reference_logits"},
        "rmu": {"activations"},
    }


@NAMES
def test_the_likelihood_for_the_logs_is_that_of_the_losses(name, draw, give, gradients):
    """Whether a loss asked for it, asked for other things of the logits, or for none; before the loss and behind it."""
    samples = draw(2)
    expected_B = give(samples).stats.nll_B.detach()
    found = []
    for early in (False, True):
        here = give(samples)
        seen = [here.stats.detached_nll_B()] if early else []
        loss_B = loss_function(name)(here.stats)
        seen.append(here.stats.detached_nll_B())
        for seen_B in seen:
            assert not seen_B.requires_grad
            torch.testing.assert_close(seen_B, expected_B)
        found.append(gradients(loss_B.sum(), here))
    for leaf, gradient in found[0].items():
        torch.testing.assert_close(found[1][leaf], gradient)


def test_the_head_runs_once_for_a_loss_and_its_log(draw, give):
    calls = []

    def head(hidden_NH):
        calls.append(len(hidden_NH))
        return hidden_NH

    for name in ("npo", "ceu", "ihl", "pdu", "undial", "wga"):
        calls.clear()
        here = give(draw(2), ("reference", "reference_logits"), head=head)
        loss_function(name)(here.stats)
        here.stats.detached_nll_B()
        assert calls == [9], name


def test_numbers_of_logits_stand_where_the_tokens_do(draw, give):
    samples = draw(3)
    stats = give(samples, columns=2).stats
    ids_BT = stats.of_logits(lambda logits_NV, target_N: target_N.to(logits_NV))
    assert ids_BT.tolist() == [[*map(float, one.y), *[0.0] * (7 - len(one.y))] for one in samples]


def test_logits_are_float32_at_least():
    seen = []
    stats = TokenStats(
        mask_BT=torch.tensor([[True]]),
        hidden_NH=torch.ones(1, 3, dtype=torch.bfloat16),
        target_N=torch.tensor([1]),
        head=torch.nn.Identity(),
        reference_hidden_NH=torch.ones(1, 3, dtype=torch.bfloat16),
        reference_head=torch.nn.Identity(),
    )
    stats.of_logits(lambda z, y, r: seen.extend([z.dtype, r.dtype]) or z[:, 0], reference=True)
    assert seen == [torch.float32] * 2


def test_given_log_probabilities_are_taken_as_they_are():
    logp_BT = torch.tensor([[-1.0, -3.0], [-2.0, 99.0]], requires_grad=True)
    stats = TokenStats(mask_BT=torch.tensor([[True, True], [True, False]]), logp_BT=logp_BT)
    assert (stats.logp_B.tolist(), stats.nll_B.tolist(), stats.detached_nll_B().tolist()) == ([-4, -2], [2, 2], [2, 2])
    stats.logp_B.sum().backward()
    assert logp_BT.grad.tolist() == [[1, 1], [1, 0]]
