"""Weights of a batch: limits, worked figures, and what holds for any losses."""

import inspect
import math

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp, softmax

from baldro import robust
from baldro.errors import BaldroError
from baldro.grid.methods import VARIANTS

relaxed = settings(deadline=None, max_examples=50, derandomize=True)

LOSSES = st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=20)
HUGE = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20)
BETAS = st.floats(1e-3, 1e3)
DIRECTIONS = st.sampled_from(["hard", "easy"])
WORKED = [13.86, 10.0, 5.0, 1.0]


def tensor(losses, dtype=torch.float64):
    return torch.tensor(losses, dtype=dtype)


def dv(losses, beta, direction="hard"):
    return robust.baldro_dv(tensor(losses), dv_beta=beta, dv_direction=direction).numpy()


def online(pieces, beta, direction="hard"):
    """Weights of the whole, as whoever accumulates would find them."""
    state, accumulated = robust.OnlineSoftmax(dv_beta=beta, dv_direction=direction), np.zeros(0)
    for piece in pieces:
        weights, shrink = state.admit(tensor(piece))
        accumulated = np.append(accumulated * shrink, weights.numpy())
    return accumulated, state


@pytest.mark.parametrize(
    "direction, expected", [("hard", [0.863, 0.125, 0.010, 0.001]), ("easy", [0.001, 0.010, 0.118, 0.871])]
)
def test_worked_figures_of_paper_and_released_code(direction, expected):
    assert dv(WORKED, 2, direction) == pytest.approx(expected, abs=6e-4)


@pytest.mark.parametrize("direction, sign", [("hard", 1), ("easy", -1)])
def test_what_overflows_when_written_naively_is_finite(direction, sign):
    losses, beta = tensor([60.0, 60.0, 60.5], torch.float32), 0.5
    assert not torch.isfinite(sign * beta * torch.log(torch.mean(torch.exp(sign * losses / beta))))
    weights = robust.baldro_dv(losses, dv_beta=beta, dv_direction=direction)
    assert weights.tolist() == pytest.approx(softmax(sign * np.array([0, 0, 1.0])), rel=1e-5)
    assert online([[60.0], [60.0, 60.5]], beta, direction)[0] == pytest.approx(
        np.exp(sign * np.array([0, 0, 1.0]) - max(0, sign))
    )


@relaxed
@given(HUGE, BETAS, DIRECTIONS, st.sampled_from([torch.float32, torch.float64]))
def test_dv_weights_are_shares_ordered_as_the_losses_and_never_overflow(losses, beta, direction, dtype):
    weights = robust.baldro_dv(tensor(losses, dtype), dv_beta=beta, dv_direction=direction).double().numpy()
    assert np.isfinite(weights).all() and (weights >= 0).all()
    assert weights.sum() == pytest.approx(1, abs=1e-5)
    ranked = weights[np.argsort(losses, kind="stable")]
    assert (np.diff(ranked if direction == "hard" else ranked[::-1]) >= 0).all()


@relaxed
@given(LOSSES, st.floats(0.05, 1e3), DIRECTIONS, st.floats(-1e3, 1e3))
def test_dv_does_not_see_a_shift(losses, beta, direction, shift):
    moved = dv([loss + shift for loss in losses], beta, direction)
    assert moved == pytest.approx(dv(losses, beta, direction), abs=1e-9)


@relaxed
@given(LOSSES, DIRECTIONS)
def test_dv_with_a_large_beta_is_the_mean(losses, direction):
    assert dv(losses, 1e9, direction) == pytest.approx(1 / len(losses), abs=1e-5)


@relaxed
@given(st.lists(st.integers(-100, 100), min_size=1, max_size=20))
def test_dv_with_a_small_beta_is_the_maximum(losses):
    losses = np.array(losses, dtype=float)
    assert dv(losses, 1e-3) == pytest.approx((losses == losses.max()) / (losses == losses.max()).sum())
    assert dv(losses, 1e-3, "easy") == pytest.approx((losses == losses.min()) / (losses == losses.min()).sum())


@relaxed
@given(st.lists(st.floats(-20, 20), min_size=1, max_size=8), st.floats(0.5, 50), st.integers(0, 99))
def test_dv_is_the_worst_case_at_the_price_of_kl(losses, beta, seed):
    def value(weights):
        divergence = sum(w * math.log(w * len(weights)) for w in weights if w > 0)
        return float(np.dot(weights, losses)) - beta * divergence

    best = value(dv(losses, beta))
    assert best == pytest.approx(beta * (logsumexp(np.array(losses) / beta) - math.log(len(losses))), abs=1e-9)
    assert best >= value(np.random.default_rng(seed).dirichlet(np.ones(len(losses)))) - 1e-9


@pytest.mark.parametrize("beta", [0.0, -1.0, math.nan])
def test_beta_must_be_above_zero(beta):
    with pytest.raises(BaldroError, match="above 0"):
        dv(WORKED, beta)


def test_a_direction_is_hard_or_easy():
    with pytest.raises(BaldroError, match="allowed: hard, easy"):
        dv(WORKED, 1.0, "soft")


@relaxed
@given(st.lists(HUGE, min_size=1, max_size=6), BETAS, DIRECTIONS)
@example([[1.0], [5.0], [9.0]], 1.0, "hard")
@example([[9.0], [5.0], [1.0]], 1.0, "hard")
@example([[5.0, 5.0], [5.0], [9.0], [2.0]], 0.5, "easy")
@example([[-1e6], [1e6], [0.0]], 1e-3, "hard")
def test_online_softmax_of_any_pieces_is_the_softmax_of_the_whole(pieces, beta, direction):
    accumulated, state = online(pieces, beta, direction)
    exponents = (1 if direction == "hard" else -1) * np.concatenate(pieces) / beta
    assert accumulated / state.Z == pytest.approx(softmax(exponents), abs=1e-12)
    assert state.m == pytest.approx(exponents.max()) and accumulated.max() <= 1


@relaxed
@given(st.lists(LOSSES, max_size=3), st.lists(LOSSES, min_size=1, max_size=3), st.floats(0.05, 100))
def test_two_devices_agree_on_maximum_and_sum(here, there, beta):
    sides = [online(here, beta), online(there, beta)]
    top = max(state.m for _, state in sides)
    weights = np.concatenate([accumulated * state.raise_to(top) for accumulated, state in sides])
    total = sum(state.Z for _, state in sides)
    assert weights / total == pytest.approx(softmax(np.concatenate([*here, *there]) / beta), abs=1e-12)


@relaxed
@given(LOSSES)
def test_g_keeps_the_hardest_half(losses):
    k = max(1, len(losses) // 2)
    weights = robust.baldro_g(tensor(losses), g_fraction=0.5).numpy()
    assert sorted(weights[weights > 0]) == pytest.approx([1 / k] * k)
    assert sorted(np.array(losses)[weights > 0]) == sorted(losses)[len(losses) - k :]


def test_g_prefers_the_earlier_of_two_that_tie():
    assert robust.baldro_g(tensor([1.0, 3.0, 3.0, 3.0, 0.0]), g_fraction=0.5).tolist() == [0, 0.5, 0.5, 0, 0]
    assert robust.baldro_g(tensor([2.0] * 40), g_fraction=0.5).tolist() == [1 / 20] * 20 + [0] * 20
    assert robust.baldro_g(tensor([7.0]), g_fraction=0.5).tolist() == [1]


@pytest.mark.parametrize(
    "n, fraction, k", [(1, 0.5, 1), (3, 0.5, 1), (7, 0.5, 3), (100, 0.29, 29), (32, 0.01, 1), (5, 1.0, 5)]
)
def test_g_rounds_down_but_keeps_one(n, fraction, k):
    assert robust.kept(n, fraction) == k


def test_base_is_the_mean():
    assert robust.base(tensor(WORKED)).tolist() == [0.25] * 4


@pytest.mark.parametrize(
    "variant, elsewhere",
    [
        ("base", set()),
        ("baldro-g", {"g_rank", "g_retain", "robust_scope"}),
        ("baldro-dv", {"dv_level", "robust_scope"}),
    ],
)
def test_the_grid_knows_the_variants(variant, elsewhere):
    function = getattr(robust, variant.replace("-", "_"))
    own = {p.name for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY}
    assert own | elsewhere == set(VARIANTS[variant]) and not own & elsewhere
    assert len(VARIANTS) == 3
