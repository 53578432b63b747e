"""Smooth top-k: its equation, its limits, and losses that are far apart."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import refused
from scipy.optimize import brentq
from scipy.special import expit, logit

from baldro.methods.variants import weights

relaxed = settings(max_examples=25)

LOSSES = st.lists(st.floats(-100, 100), min_size=1, max_size=20)
FRACTIONS = st.floats(0.01, 0.99)


def topk(losses, fraction=0.5, temperature=1.0):
    losses = torch.tensor(losses, dtype=torch.float64)
    return weights("topk")(losses, topk_fraction=fraction, topk_temperature=temperature).numpy()


@relaxed
@given(LOSSES, FRACTIONS, st.floats(0.5, 100))
def test_against_another_root_finder(losses, fraction, temperature):
    losses, k = np.array(losses), fraction * len(losses)
    shift = temperature * logit(fraction)
    nu = brentq(
        lambda nu: expit((losses - nu) / temperature).sum() - k,
        losses.min() - shift - 1,
        losses.max() - shift + 1,
        xtol=1e-13,
    )
    assert topk(losses, fraction, temperature) == pytest.approx(expit((losses - nu) / temperature) / k, abs=1e-10)


def test_worked_figures():
    assert topk([math.log(9), 0.0, -math.log(9)]) == pytest.approx([0.6, 1 / 3, 0.1 / 1.5], abs=1e-12)
    assert topk([2 * math.log(4), 0.0], temperature=1.0) == pytest.approx([0.8, 0.2], abs=1e-12)


@relaxed
@given(LOSSES, FRACTIONS, st.floats(1e-3, 1e3))
def test_no_weight_is_above_that_of_a_sample_that_is_kept(losses, fraction, temperature):
    assert topk(losses, fraction, temperature).max() <= max(1, 1 / (fraction * len(losses))) * (1 + 1e-9)
    if fraction * len(losses) >= 1:
        assert topk(losses, fraction, temperature).max() <= (1 + 1e-9) / (fraction * len(losses))


@relaxed
@given(st.lists(st.integers(-100, 100), min_size=1, max_size=20, unique=True), FRACTIONS)
def test_a_small_temperature_is_cvar(losses, fraction):
    expected = weights("cvar")(torch.tensor(losses), cvar_alpha=fraction).tolist()
    assert topk(losses, fraction, 1e-6) == pytest.approx(expected, abs=1e-9)


@relaxed
@given(LOSSES, FRACTIONS)
def test_a_large_temperature_is_the_mean(losses, fraction):
    assert topk(losses, fraction, 1e12) == pytest.approx(1 / len(losses), abs=1e-8)
    assert topk(losses, fraction, math.inf) == pytest.approx(1 / len(losses), abs=1e-15)


@pytest.mark.parametrize("temperature", [1e-3, 1e-9, 1e-300])
def test_the_edge_is_exact_beside_losses_of_a_million(temperature):
    assert topk([0.0, -1e6], 0.6, temperature) == pytest.approx([1 / 1.2, 0.2 / 1.2], abs=1e-12)
    assert topk([1e6, -1e6, 3.0, 3.0, -4e5], 0.5, temperature) == pytest.approx([0.4, 0, 0.3, 0.3, 0], abs=1e-12)
    assert topk([1e6, -1e6, 3.0, -4e5], 0.5, temperature) == pytest.approx([0.5, 0, 0.5, 0], abs=1e-12)


@pytest.mark.parametrize("fraction", [1e-300, 1e-9, 1 - 1e-9, 1 - 2**-53])
def test_shares_near_the_open_ends(fraction):
    shares = topk([3.0, 2.0, 1.0], fraction)
    expected = [1 / 3] * 3 if fraction > 0.5 else np.exp([3, 2, 1]) / np.exp([3, 2, 1]).sum()
    assert shares == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -1.0, math.nan])
def test_a_share_lies_between_zero_and_one(fraction):
    with refused("value-not-allowed", "topk_fraction", fraction):
        topk([1.0, 2.0], fraction)


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan])
def test_a_temperature_is_above_zero(temperature):
    with refused("value-not-allowed", "topk_temperature", temperature):
        topk([1.0, 2.0], temperature=temperature)
