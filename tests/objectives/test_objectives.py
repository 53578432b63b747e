"""Every objective against its formula in plain Python floats, and what the grid says of it against its signature."""

import inspect
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from baldro.errors import BaldroError
from baldro.grid import OBJECTIVES
from baldro.objectives import TokenStats, loss_function

relaxed = settings(deadline=None, max_examples=30, derandomize=True)

UNLEARNING = [name for name, objective in OBJECTIVES.items() if objective.unlearns]
ANSWERS = st.lists(st.lists(st.floats(-20, -1e-3), min_size=1, max_size=6), min_size=1, max_size=5)
LONG = [[-0.2, -3.0, -0.01], [-7.0], [-1.0, -1.5, -0.5, -4.0]]


def stats(answers, references=None):
    longest = max(map(len, answers))
    logp = torch.tensor([[*answer, *[0.0] * (longest - len(answer))] for answer in answers], dtype=torch.float64)
    mask = torch.tensor([[t < len(answer) for t in range(longest)] for answer in answers])
    reference = None if references is None else torch.tensor(references, dtype=torch.float64)
    return TokenStats(logp_BT=logp.requires_grad_(), mask_BT=mask, reference_B=reference)


def mean(values):
    return sum(values) / len(values)


def softplus(x):
    """-log sigmoid(-x)."""
    return max(x, 0) + math.log1p(math.exp(-abs(x)))


def ascent(logp):
    return -mean([-x for x in logp])


def satimp(logp, b1, b2):
    return -mean([math.exp(x) ** b1 * (1 - math.exp(x)) ** b2 * -x for x in logp])


@relaxed
@given(ANSWERS)
@pytest.mark.parametrize("name", ["gradascent", "graddiff"])
def test_ascent_is_minus_the_mean_cross_entropy(name, answers):
    assert loss_function(name)(stats(answers)).tolist() == pytest.approx([ascent(a) for a in answers])


@relaxed
@given(ANSWERS, st.lists(st.floats(-80, 0), min_size=5, max_size=5), st.floats(0.02, 3))
def test_npo(answers, references, beta):
    ours = loss_function("npo")(stats(answers, references[: len(answers)]), npo_beta=beta)
    expected = [2 / beta * softplus(beta * (sum(a) - r)) for a, r in zip(answers, references, strict=False)]
    assert ours.tolist() == pytest.approx(expected)


@relaxed
@given(ANSWERS, st.floats(0.1, 5), st.floats(-2, 5))
def test_simnpo(answers, beta, delta):
    ours = loss_function("simnpo")(stats(answers), simnpo_beta=beta, simnpo_delta=delta)
    assert ours.tolist() == pytest.approx([2 / beta * softplus(-beta * (-mean(a) - delta)) for a in answers])


@relaxed
@given(ANSWERS, st.floats(0, 6), st.floats(0, 3))
def test_satimp(answers, b1, b2):
    ours = loss_function("satimp")(stats(answers), satimp_beta1=b1, satimp_beta2=b2)
    assert ours.tolist() == pytest.approx([satimp(a, b1, b2) for a in answers], abs=1e-12)


def test_satimp_does_not_differentiate_its_weights():
    seen = stats(LONG)
    loss_function("satimp")(seen, satimp_beta1=2.0, satimp_beta2=1.5).sum().backward()
    for answer, grad in zip(LONG, seen.logp_BT.grad, strict=True):
        expected = [math.exp(x) ** 2 * (1 - math.exp(x)) ** 1.5 / len(answer) for x in answer]
        assert grad.tolist() == pytest.approx([*expected, *[0.0] * (len(grad) - len(expected))])


def test_npo_starts_at_13_86_where_policy_and_reference_agree():
    start = loss_function("npo")(stats(LONG, [sum(answer) for answer in LONG]), npo_beta=0.1)
    assert start.tolist() == pytest.approx([13.863] * 3, abs=1e-3)


@pytest.mark.parametrize("gap", [-1e5, 1e5])
def test_far_from_the_reference_losses_and_gradients_are_finite(gap):
    seen = stats([[-1e3], [-2e5]], [gap, gap])
    loss = loss_function("npo")(seen, npo_beta=0.1) + loss_function("simnpo")(seen, simnpo_beta=4.5, simnpo_delta=0.0)
    loss.sum().backward()
    assert loss.isfinite().all() and seen.logp_BT.grad.isfinite().all()


@pytest.mark.parametrize("name", UNLEARNING)
def test_the_grid_knows_the_signature(name):
    own = [p.name for p in inspect.signature(loss_function(name)).parameters.values() if p.kind is p.KEYWORD_ONLY]
    assert own == list(OBJECTIVES[name].fields)


@pytest.mark.parametrize("name", UNLEARNING)
def test_the_grid_knows_whether_a_reference_is_needed(name):
    values = dict.fromkeys(OBJECTIVES[name].fields, 1.0)
    if OBJECTIVES[name].reference:
        with pytest.raises(BaldroError, match="reference"):
            loss_function(name)(stats(LONG), **values)
    else:
        with_reference = loss_function(name)(stats(LONG, [-3.0, -2.0, -1.0]), **values)
        assert with_reference.tolist() == loss_function(name)(stats(LONG), **values).tolist()


@pytest.mark.parametrize("name", UNLEARNING)
def test_the_grid_knows_which_losses_are_means_over_tokens(name):
    if not OBJECTIVES[name].tokens:
        with pytest.raises(BaldroError, match="no loss per token"):
            loss_function(name, level="token")
        return
    values = dict.fromkeys(OBJECTIVES[name].fields, 1.5)
    token, seen = loss_function(name, level="token"), stats(LONG)
    assert inspect.signature(token) == inspect.signature(loss_function(name))
    means = [mean(row[: len(a)].tolist()) for row, a in zip(token(seen, **values), LONG, strict=True)]
    assert loss_function(name)(seen, **values).tolist() == pytest.approx(means)
