"""Each robust variant's weights are the maximiser of its problem: against a general solver, its dual, and other feasible weights."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog, minimize, minimize_scalar
from scipy.special import entr, logsumexp

from baldro.methods.variants import weights
from baldro.methods.variants.baldro_dv_learned import beta as beta_of

LOSSES = st.lists(st.integers(-1280, 1280).map(lambda x: x / 64), min_size=2, max_size=9)
WORKED = ([13.86, 10.0, 5.0, 1.0], [0.0, 0.3, -0.2, 2.0, 1.1, 1.0, 0.9], [1.0, 0.0, 0.0, 0.0, 0.5])


def of(name, losses, **fields):
    return weights(name)(torch.tensor(losses, dtype=torch.float64), **fields).numpy()


def pearson(q):
    return np.mean((len(q) * q - 1) ** 2)


def kl(q):
    return math.log(len(q)) - entr(np.clip(q, 0, None)).sum()


def inside(divergence, radius, seed, n):
    """Random weights within a ball: on the segment from the uniform weights to any others."""
    other, uniform = np.random.default_rng(seed).dirichlet(np.full(n, 0.5)), np.full(n, 1 / n)
    for share in np.linspace(1, 0, 201):
        if divergence(q := share * other + (1 - share) * uniform) <= radius:
            return q


def slsqp(value, n, constraint=None, top=1.0):
    """The maximiser over the simplex, by a solver that knows nothing of the problem."""
    limits = [{"type": "eq", "fun": lambda q: q.sum() - 1}]
    limits += [{"type": "ineq", "fun": constraint}] if constraint else []
    start = np.full(n, 1 / n)
    found = minimize(
        lambda q: -value(q),
        start,
        bounds=[(1e-12, top)] * n,
        constraints=limits,
        options={"ftol": 1e-14, "maxiter": 1000},
    )
    return found.x


def dual(value, low, high):
    """The minimum of a convex function of one number: of a grid, then exactly around its best point."""
    grid = np.linspace(low, high, 101)
    at = int(np.argmin([value(x) for x in grid]))
    bounds = (grid[max(0, at - 1)], grid[min(len(grid) - 1, at + 1)])
    return min(
        minimize_scalar(value, bounds=bounds, method="bounded", options={"xatol": 1e-12}).fun,
        value(bounds[0]),
        value(bounds[1]),
    )


@given(LOSSES, st.floats(0.001, 10), st.integers(0, 10**6))
def test_chi2_is_the_worst_case_in_its_ball(losses, rho, seed):
    q, n, losses = of("chi2", losses, chi2_rho=rho), len(losses), np.array(losses)
    assert pearson(q) <= rho + 1e-10
    assert q @ losses >= inside(pearson, rho, seed, n) @ losses - 1e-9
    spread = 1 + np.ptp(losses) / math.sqrt(rho)
    lowest = dual(
        lambda eta: eta + math.sqrt((1 + rho) * np.mean(np.clip(losses - eta, 0, None) ** 2)),
        losses.mean() - spread,
        losses.max(),
    )
    assert q @ losses == pytest.approx(lowest, abs=1e-5)


@pytest.mark.parametrize("losses", WORKED, ids=str)
@pytest.mark.parametrize("rho", [0.05, 0.5, 1.0, 2.5])
def test_chi2_against_a_general_solver(losses, rho):
    q = slsqp(lambda q: q @ np.array(losses), len(losses), lambda q: rho - pearson(q))
    assert of("chi2", losses, chi2_rho=rho) == pytest.approx(q, abs=1e-4)


@given(LOSSES, st.floats(0.01, 1))
def test_cvar_is_the_worst_case_under_its_cap(losses, alpha):
    n = len(losses)
    q, cap = of("cvar", losses, cvar_alpha=alpha), 1 / (alpha * n)
    assert q.max() <= max(cap, 0) + 1e-12
    found = linprog(-np.array(losses), A_eq=np.ones((1, n)), b_eq=[1], bounds=(0, cap))
    assert q @ losses == pytest.approx(-found.fun, abs=1e-8)
    least = min(eta + np.mean(np.clip(np.array(losses) - eta, 0, None)) / alpha for eta in losses)
    assert q @ losses == pytest.approx(least, abs=1e-8)


@given(LOSSES, st.floats(0.05, 0.95), st.floats(0.05, 20), st.integers(0, 10**6))
def test_topk_is_the_worst_case_at_the_price_of_entropy(losses, fraction, temperature, seed):
    n = len(losses)
    k = fraction * n

    def value(q):
        return q @ losses + temperature / k * (entr(k * q) + entr(1 - k * q)).sum()

    q = of("topk", losses, topk_fraction=fraction, topk_temperature=temperature)
    q = np.minimum(q, 1 / k)
    other = inside(np.max, 1 / k, seed, n)
    assert value(q) >= value(other) - 1e-9
    for share in (1e-3, 1e-2, 0.1):  # Close by, where a wrong nu or temperature would show.
        assert value(q) >= value(share * other + (1 - share) * q) - 1e-12 * (1 + np.abs(losses).max())


@pytest.mark.parametrize("losses", WORKED, ids=str)
@pytest.mark.parametrize("fraction, temperature", [(0.5, 1.0), (0.3, 2.0), (0.8, 5.0)])
def test_topk_against_a_general_solver(losses, fraction, temperature):
    k = fraction * len(losses)
    top = (1 - 1e-9) / k
    q = slsqp(
        lambda q: q @ np.array(losses) + temperature / k * (entr(k * q) + entr(1 - k * q)).sum(), len(losses), top=top
    )
    assert of("topk", losses, topk_fraction=fraction, topk_temperature=temperature) == pytest.approx(q, abs=1e-4)


@given(LOSSES, st.floats(0.001, 3), st.floats(1e-3, 2), st.integers(0, 10**6))
def test_learned_beta_is_the_worst_case_in_its_ball(losses, rho, least, seed):
    q, n, losses = of("baldro-dv-learned", losses, dv_rho=rho, dv_beta_min=least), len(losses), np.array(losses)
    assert kl(q) <= rho + 1e-12
    other = inside(kl, rho, seed, n)
    # Where beta_min holds beta up, the ball is smaller: the value is at the price of KL instead.
    assert q @ losses - least * kl(q) >= other @ losses - least * kl(other) - 1e-9
    if kl(q) > rho - 1e-9:
        assert q @ losses >= other @ losses - 1e-9
    lowest = dual(
        lambda x: math.exp(x) * (logsumexp(losses / math.exp(x)) - math.log(n) + rho), math.log(least), math.log(2e3)
    )
    beta = beta_of(torch.tensor(losses), dv_rho=rho, dv_beta_min=least)
    assert q @ losses + beta * (rho - kl(q)) == pytest.approx(lowest, abs=1e-6)


@pytest.mark.parametrize("losses", WORKED, ids=str)
@pytest.mark.parametrize("rho", [0.05, 0.5, 1.0])
def test_learned_beta_against_a_general_solver(losses, rho):
    q = slsqp(lambda q: q @ np.array(losses), len(losses), lambda q: rho - kl(q))
    assert of("baldro-dv-learned", losses, dv_rho=rho) == pytest.approx(q, abs=1e-4)
