"""What the objectives say of each other, and figures that are known by themselves."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from baldro.methods.objectives import TokenStats, loss_function

relaxed = settings(max_examples=10)
SEEDS = st.integers(0, 10**6)


@pytest.mark.parametrize("name", ["npo", "idkdpo", "altpo"])
def test_preferences_start_at_13_86_where_policy_and_reference_agree(name, draw, give):
    samples = [replace(one, r=one.z, win=replace(one.win, r=one.win.z)) for one in draw(0)]
    loss_B = loss_function(name)(give(samples).stats)
    assert loss_B.tolist() == pytest.approx([2 / 0.1 * math.log(2)] * 3)
    assert loss_B.tolist() == pytest.approx([13.863] * 3, abs=1e-3)


@relaxed
@given(SEEDS, st.floats(0.05, 3))
@pytest.mark.parametrize("name", ["idkdpo", "altpo"])
def test_npo_is_preference_whose_winner_does_not_move(name, draw, give, seed, beta):
    stats = give([replace(one, win=replace(one.win, r=one.win.z)) for one in draw(seed)]).stats
    torch.testing.assert_close(loss_function(name)(stats, dpo_beta=beta), loss_function("npo")(stats, npo_beta=beta))


@relaxed
@given(SEEDS, st.floats(0.1, 6))
def test_tnpo_has_the_gradient_of_npo_of_each_token_by_itself(draw, give, gradients, seed, beta):
    samples = draw(seed)
    ours = gradients(loss_function("tnpo")((here := give(samples)).stats, tnpo_beta=beta).sum(), here)["z"]
    here = give(samples)
    tokens_BT = 2 / beta * torch.log1p((here.stats.logp_BT.exp() / here.stats.reference_BT.exp()) ** beta)
    torch.testing.assert_close(ours, gradients(here.stats.mean(tokens_BT).sum(), here)["z"])


@relaxed
@given(SEEDS)
def test_tnpo_differentiated_is_another_gradient_of_the_same_value(draw, give, gradients, seed):
    samples = draw(seed)
    losses, slopes = [], []
    for form in ("detached", "differentiated"):
        here = give(samples)
        losses.append(loss_function("tnpo")(here.stats, tnpo_beta=1.0, tnpo_weight=form))
        slopes.append(gradients(losses[-1].sum(), here)["z"])
    torch.testing.assert_close(*losses)
    assert not torch.allclose(*slopes)


@relaxed
@given(SEEDS)
def test_ceu_has_the_gradient_of_minus_log_of_what_is_not_the_truth(draw, give, gradients, seed):
    here = give(draw(seed, (4,)))
    ours = gradients(loss_function("ceu")(here.stats).sum(), here)["z"]
    surprise = -torch.log1p(-here.stats.logp_BT.exp())
    torch.testing.assert_close(ours, gradients(here.stats.mean(surprise).sum(), here)["z"])
    p_N = here.stats.logp_BT.exp()[0].detach()
    torch.testing.assert_close(4 * ours.abs().sum(1), 2 * p_N)


@relaxed
@given(SEEDS)
def test_ihl_is_between_0_and_2_and_hands_probability_to_the_likeliest_other(draw, give, gradients, seed):
    here = give(draw(seed, (1,)))
    loss = loss_function("ihl")(here.stats)
    slope = gradients(loss.sum(), here)["z"][0]
    y = here.stats.target_N.item()
    heir = here.z_NV.detach()[0].index_fill(0, torch.tensor([y]), -torch.inf).argmax().item()
    assert 0 <= loss.item() <= 2 and slope[y] > 0 > slope[heir] and slope.argmin() == heir


@relaxed
@given(SEEDS)
def test_wga_without_an_exponent_is_gradient_ascent(draw, give, seed):
    stats = give(draw(seed)).stats
    torch.testing.assert_close(loss_function("wga")(stats, wga_beta=0.0), loss_function("gradascent")(stats))


@relaxed
@given(SEEDS, st.floats(0, 30))
def test_undial_rests_where_the_true_logit_is_lowered_by_beta(draw, give, gradients, seed, beta):
    samples = [replace(one, z=one.r - beta * np.eye(7)[one.y] + 3) for one in draw(seed)]
    here = give(samples)
    slope = gradients(loss_function("undial")(here.stats, undial_beta=beta).sum(), here)["z"]
    torch.testing.assert_close(slope, torch.zeros_like(slope), rtol=0, atol=1e-12)


def test_pdu_does_not_look_at_the_truth(draw, give):
    samples = draw(3)
    losses = [
        loss_function("pdu")(give([replace(one, y=(one.y + k) % 7) for one in samples]).stats).tolist() for k in (0, 1)
    ]
    assert losses[0] == losses[1]


def steered(seed, width=64, count=3):
    h_BTH = torch.zeros(1, count, width, requires_grad=True)
    stats = TokenStats(mask_BT=torch.ones(1, count, dtype=torch.bool), activation_BTH=h_BTH, seed=seed)
    loss = loss_function("rmu")(stats, rmu_steering=3.0)
    (slope_BTH,) = torch.autograd.grad(loss.sum(), h_BTH)
    return loss.item(), (-slope_BTH[0] * width * count / 6).numpy()


def test_rmu_steers_every_token_to_one_unit_vector_of_the_seed():
    loss, directions = steered(1)
    assert loss == pytest.approx(3.0**2 / 64)
    np.testing.assert_allclose(directions, directions[[0, 0, 0]])
    assert np.linalg.norm(directions[0]) == pytest.approx(1, rel=1e-5)
    assert (directions[0] >= 0).all() and directions[0].std() > 0.03  # a draw from [0, 1)^H, normalised
    np.testing.assert_array_equal(steered(1)[1], directions)
    assert not np.allclose(steered(2)[1], directions)


def test_rmu_leaves_torch_random_state_alone():
    before = torch.get_rng_state()
    steered(5)
    assert torch.equal(torch.get_rng_state(), before)


def test_rmu_divides_each_sample_by_its_own_tokens(draw, give):
    """(B,) / (B, 1), as seen elsewhere, divides every sample by every count."""
    samples = draw(2, (1, 4))
    alone = [loss_function("rmu")(give([one]).stats).item() for one in samples]
    assert loss_function("rmu")(give(samples).stats).tolist() == pytest.approx(alone)


def test_rmu_computes_in_float32_at_least():
    h_BTH = torch.full((1, 1, 8), 0.1, dtype=torch.bfloat16)
    loss_B = loss_function("rmu")(TokenStats(mask_BT=torch.tensor([[True]]), activation_BTH=h_BTH))
    assert loss_B.dtype == torch.float32
