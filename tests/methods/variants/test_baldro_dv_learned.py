"""BalDRO-DV with learned beta: its radius, its bound, its dual, and its limits."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import refused
from scipy.optimize import minimize_scalar
from scipy.special import entr, logsumexp

from baldro.methods.variants import weights
from baldro.methods.variants.baldro_dv_learned import beta

relaxed = settings(max_examples=25)

LOSSES = st.lists(st.integers(-6400, 6400).map(lambda x: x / 64), min_size=1, max_size=20)
RHOS = st.floats(1e-3, 5)
WORKED = [13.86, 10.0, 5.0, 1.0]


def tensor(losses):
    return torch.tensor(losses, dtype=torch.float64)


def learned(losses, rho=0.5, least=0.01):
    return weights("baldro-dv-learned")(tensor(losses), dv_rho=rho, dv_beta_min=least).numpy()


def kl(q):
    return math.log(len(q)) - entr(q).sum()


@relaxed
@given(LOSSES, RHOS, st.floats(1e-3, 10))
def test_beta_meets_the_radius_or_its_bound(losses, rho, least):
    found, q = beta(tensor(losses), dv_rho=rho, dv_beta_min=least), learned(losses, rho, least)
    assert found >= least
    assert kl(q) == pytest.approx(rho, rel=1e-9) if found > least else kl(q) <= rho + 1e-12
    dv = weights("baldro-dv")(tensor(losses), dv_beta=found).numpy()
    assert q == pytest.approx(dv, abs=1e-9)


@pytest.mark.parametrize("losses", [WORKED, [0.0, 0.3, -0.2, 2.0, 1.1], [50.0, 1.0, 1.0, 1.0, 1.0, 1.0]], ids=str)
@pytest.mark.parametrize("rho", [0.01, 0.5, 1.0])
def test_beta_is_the_minimum_of_the_dual(losses, rho):
    def dual(log_b):
        b = math.exp(log_b)
        return b * (logsumexp(np.array(losses) / b) - math.log(len(losses)) + rho)

    found = minimize_scalar(dual, bounds=(math.log(0.01), math.log(1000)), method="bounded", options={"xatol": 1e-10})
    assert beta(tensor(losses), dv_rho=rho) == pytest.approx(math.exp(found.x), rel=1e-5)
    q = learned(losses, rho)
    assert q @ np.array(losses) == pytest.approx(found.fun, abs=1e-8)


def test_the_gradient_of_the_dual_is_the_weights():
    def dual(losses):
        b = beta(tensor(losses), dv_rho=0.5)
        return b * (logsumexp(losses / b) - math.log(len(losses)) + 0.5)

    steps = 1e-5 * np.eye(4)
    slopes = [(dual(WORKED + step) - dual(WORKED - step)) / 2e-5 for step in steps]
    assert learned(WORKED) == pytest.approx(slopes, abs=1e-8)


@relaxed
@given(LOSSES, RHOS, st.integers(-10, 10))
def test_beta_has_the_units_of_the_loss(losses, rho, power):
    scaled = beta(tensor(losses) * 2.0**power, dv_rho=rho, dv_beta_min=0.01 * 2.0**power)
    assert scaled == pytest.approx(beta(tensor(losses), dv_rho=rho) * 2.0**power, rel=1e-12)


@pytest.mark.parametrize("rho", [math.log(4) + 1e-9, 3.0, math.inf])
def test_a_radius_that_holds_every_weight_leaves_the_least_beta(rho):
    assert beta(tensor(WORKED), dv_rho=rho, dv_beta_min=0.02) == 0.02
    assert learned(WORKED, rho) == pytest.approx([1, 0, 0, 0], abs=1e-12)


def test_ties_for_the_hardest_share_it():
    losses = [2.0, 5.0, 1.0, 5.0]
    assert beta(tensor(losses), dv_rho=math.log(2) + 1e-9, dv_beta_min=0.02) == 0.02
    assert learned(losses, 0.7) == pytest.approx([0, 0.5, 0, 0.5], abs=1e-12)
    assert beta(tensor(losses), dv_rho=0.69) > 0.02


@pytest.mark.parametrize("losses", [[3.0], [3.0, 3.0, 3.0], [0.0] * 8])
def test_equal_losses_leave_the_least_beta(losses):
    assert beta(tensor(losses), dv_rho=0.5, dv_beta_min=0.3) == 0.3


@pytest.mark.parametrize("rho", [1e-6, 1e-10, 1e-14])
def test_a_small_radius_is_the_mean_and_a_standard_deviation(rho):
    spread, skewed = np.std(WORKED), max(math.sqrt(rho), 1e-6)
    assert beta(tensor(WORKED), dv_rho=rho) == pytest.approx(spread / math.sqrt(2 * rho), rel=skewed)
    assert learned(WORKED, rho) @ WORKED == pytest.approx(
        np.mean(WORKED) + math.sqrt(2 * rho) * spread, abs=10 * rho + 1e-14
    )


@pytest.mark.parametrize("field", ["dv_rho", "dv_beta_min"])
@pytest.mark.parametrize("value", [0.0, -1.0, math.nan])
def test_radius_and_bound_are_above_zero(field, value):
    with refused("value-not-allowed", field, value):
        weights("baldro-dv-learned")(tensor(WORKED), **{field: value})
