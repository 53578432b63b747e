"""BalDRO-DV's weights: worked figures, limits, and what holds for any losses."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from refusals import refused
from scipy.special import logsumexp, softmax

from baldro.methods.variants import weights

LOSSES = st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=20)
HUGE = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20)
BETAS = st.floats(1e-3, 1e3)
DIRECTIONS = st.sampled_from(["hard", "easy"])
WORKED = [13.86, 10.0, 5.0, 1.0]


def tensor(losses, dtype=torch.float64):
    return torch.tensor(losses, dtype=dtype)


def dv(losses, beta, direction="hard"):
    return weights("baldro-dv")(tensor(losses), dv_beta=beta, dv_direction=direction).numpy()


@pytest.mark.parametrize(
    "direction, expected", [("hard", [0.863, 0.125, 0.010, 0.001]), ("easy", [0.001, 0.010, 0.118, 0.871])]
)
def test_worked_figures_of_paper_and_released_code(direction, expected):
    assert dv(WORKED, 2, direction) == pytest.approx(expected, abs=6e-4)


@pytest.mark.parametrize("direction, sign", [("hard", 1), ("easy", -1)])
def test_what_overflows_when_written_naively_is_finite(direction, sign):
    losses, beta = tensor([60.0, 60.0, 60.5], torch.float32), 0.5
    assert not torch.isfinite(sign * beta * torch.log(torch.mean(torch.exp(sign * losses / beta))))
    shares = weights("baldro-dv")(losses, dv_beta=beta, dv_direction=direction)
    assert shares.tolist() == pytest.approx(softmax(sign * np.array([0, 0, 1.0])), rel=1e-5)


@given(HUGE, BETAS, DIRECTIONS, st.sampled_from([torch.float32, torch.float64]))
def test_dv_weights_are_shares_ordered_as_the_losses_and_never_overflow(losses, beta, direction, dtype):
    shares = weights("baldro-dv")(tensor(losses, dtype), dv_beta=beta, dv_direction=direction).double().numpy()
    assert np.isfinite(shares).all() and (shares >= 0).all()
    assert shares.sum() == pytest.approx(1, abs=1e-5)
    ranked = shares[np.argsort(losses, kind="stable")]
    assert (np.diff(ranked if direction == "hard" else ranked[::-1]) >= 0).all()


@given(LOSSES, st.floats(0.05, 1e3), DIRECTIONS, st.floats(-1e3, 1e3))
def test_dv_does_not_see_a_shift(losses, beta, direction, shift):
    moved = dv([loss + shift for loss in losses], beta, direction)
    assert moved == pytest.approx(dv(losses, beta, direction), abs=1e-9)


@given(LOSSES, DIRECTIONS)
def test_dv_with_a_large_beta_is_the_mean(losses, direction):
    assert dv(losses, 1e9, direction) == pytest.approx(1 / len(losses), abs=1e-5)


@given(st.lists(st.integers(-100, 100), min_size=1, max_size=20))
def test_dv_with_a_small_beta_is_the_maximum(losses):
    losses = np.array(losses, dtype=float)
    assert dv(losses, 1e-3) == pytest.approx((losses == losses.max()) / (losses == losses.max()).sum())
    assert dv(losses, 1e-3, "easy") == pytest.approx((losses == losses.min()) / (losses == losses.min()).sum())


@given(st.lists(st.floats(-20, 20), min_size=1, max_size=8), st.floats(0.5, 50), st.integers(0, 99))
def test_dv_is_the_worst_case_at_the_price_of_kl(losses, beta, seed):
    def value(q):
        divergence = sum(p * math.log(p * len(q)) for p in q if p > 0)
        return float(np.dot(q, losses)) - beta * divergence

    best = value(dv(losses, beta))
    assert best == pytest.approx(beta * (logsumexp(np.array(losses) / beta) - math.log(len(losses))), abs=1e-9)
    assert best >= value(np.random.default_rng(seed).dirichlet(np.ones(len(losses)))) - 1e-9


@pytest.mark.parametrize("beta", [0.0, -1.0, math.nan])
def test_beta_must_be_above_zero(beta):
    with refused("value-not-allowed", "dv_beta", beta):
        dv(WORKED, beta)


def test_a_direction_is_hard_or_easy():
    with refused("value-not-allowed", "dv_direction", "hard", "easy"):
        dv(WORKED, 1.0, "soft")
