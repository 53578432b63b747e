"""Chi-square DRO: worked figures, its radius, its limits, and what it does not see."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import refused

from baldro.methods.variants import weights

relaxed = settings(max_examples=25)

LOSSES = st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=20)


def chi2(losses, rho):
    return weights("chi2")(torch.tensor(losses, dtype=torch.float64), chi2_rho=rho).numpy()


def pearson(q):
    return np.mean((len(q) * q - 1) ** 2)


@pytest.mark.parametrize(
    "losses, rho, expected",
    [
        ([1, 0], 0.25, [0.75, 0.25]),
        ([1, 0, 0, 0], 1.0, [(1 + math.sqrt(3)) / 4, *[(1 - 1 / math.sqrt(3)) / 4] * 3]),
        ([0, 1, 1, 0], 0.25, [0.125, 0.375, 0.375, 0.125]),
        # The third has no weight, which leaves (1 +- sqrt(2 * 1.9 / 3 - 1)) / 2.
        ([1, 0, -50], 0.9, [(1 + math.sqrt(0.8 / 3)) / 2, (1 - math.sqrt(0.8 / 3)) / 2, 0]),
    ],
)
def test_worked_figures(losses, rho, expected):
    assert chi2(losses, rho) == pytest.approx(expected, abs=1e-12)


@relaxed
@given(LOSSES, st.floats(1e-6, 30))
def test_the_radius_is_met_unless_the_hardest_are_reached_first(losses, rho):
    q, losses = chi2(losses, rho), np.array(losses)
    hardest = losses == losses.max()
    if rho >= len(losses) / hardest.sum() - 1:
        assert q == pytest.approx(hardest / hardest.sum())
    else:
        assert pearson(q) == pytest.approx(rho, rel=1e-9)


@relaxed
@given(LOSSES, st.floats(0, 30))
def test_weights_are_the_excess_over_a_threshold(losses, rho):
    q, losses = chi2(losses, rho), np.array(losses)
    inside, spread = q > 1e-9, np.ptp(losses)
    if inside.sum() > 1 and q[inside].max() - q[inside].min() > 1e-6:
        slope = (q[inside].max() - q[inside].min()) / np.ptp(losses[inside])
        eta = losses.max() - q.max() / slope
        assert q == pytest.approx(slope * np.clip(losses - eta, 0, None), abs=1e-6)
    else:
        assert (
            rho < 1e-6 or spread == 0 or q == pytest.approx((losses == losses.max()) / (losses == losses.max()).sum())
        )


@relaxed
@given(LOSSES)
def test_without_a_radius_it_is_the_mean(losses):
    assert chi2(losses, 0.0).tolist() == pytest.approx([1 / len(losses)] * len(losses), abs=1e-15)


@pytest.mark.parametrize("rho", [3.0, 100.0, math.inf])
def test_a_large_radius_leaves_the_hardest_in_equal_shares(rho):
    assert chi2([5.0, 1.0, 5.0, 4.999], rho).tolist() == [0.5, 0, 0.5, 0]
    assert chi2([5.0, 1.0, 6.0, 4.999], rho).tolist() == [0, 0, 1, 0]


def test_a_small_radius_adds_the_standard_deviation():
    losses = np.array([13.86, 10.0, 5.0, 1.0])
    assert chi2(losses, 0.04) @ losses == pytest.approx(losses.mean() + 0.2 * losses.std())


@relaxed
@given(LOSSES, st.floats(0, 30), st.integers(-20, 20))
def test_the_radius_has_no_units(losses, rho, power):
    losses = np.round(np.array(losses), 3)
    assert chi2(losses * 2.0**power, rho) == pytest.approx(chi2(losses, rho), abs=1e-12)


def test_losses_that_are_nearly_alike_are_told_apart():
    losses = [1.0, 1.0 - 1e-12, 1.0 - 2e-12, -1e6]
    q = chi2(losses, 1.0)
    assert pearson(q) == pytest.approx(1) and q[0] > q[1] > q[2] > 0 and q[3] == 0


def test_thousands_of_tokens():
    losses = np.random.default_rng(0).gamma(0.5, 4, 5000)
    q = chi2(losses, 4.0)
    assert q.sum() == pytest.approx(1) and pearson(q) == pytest.approx(4) and 0 < (q > 0).sum() < 5000


@pytest.mark.parametrize("rho", [-0.1, math.nan])
def test_a_radius_is_not_below_zero(rho):
    with refused("value-not-allowed", "chi2_rho", rho):
        chi2([1.0, 2.0], rho)
