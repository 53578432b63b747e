"""CVaR: worked figures, its cap, and BalDRO-G as its special case."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import refused

from baldro.methods.variants import weights

relaxed = settings(max_examples=25)


def cvar(losses, alpha=0.5):
    return weights("cvar")(torch.tensor(losses, dtype=torch.float64), cvar_alpha=alpha).numpy()


@pytest.mark.parametrize(
    "losses, alpha, expected",
    [
        ([1, 5, 3, 4, 2], 0.5, [0, 0.4, 0.2, 0.4, 0]),
        ([1, 5, 3, 4], 0.5, [0, 0.5, 0, 0.5]),
        ([1, 5, 3, 4], 0.6, [0, 1 / 2.4, 0.4 / 2.4, 1 / 2.4]),
        ([1, 5, 3, 4], 0.1, [0, 1, 0, 0]),
        ([1, 5, 3, 4], 1e-12, [0, 1, 0, 0]),
        ([1, 5, 3, 4], 1.0, [0.25] * 4),
        ([1, 3, 3, 3, 0], 0.5, [0, 0.4, 0.4, 0.2, 0]),
        ([7], 0.5, [1]),
    ],
)
def test_worked_figures(losses, alpha, expected):
    assert cvar(losses, alpha) == pytest.approx(expected, abs=1e-15)


@relaxed
@given(st.lists(st.integers(-9, 9), min_size=1, max_size=40), st.integers(1, 40))
def test_g_is_the_special_case_of_a_whole_number(losses, k):
    fraction = min(k, len(losses)) / len(losses)
    g = weights("baldro-g")(torch.tensor(losses), g_fraction=fraction)
    assert cvar(losses, fraction).tolist() == g.tolist()


def test_g_rounds_an_odd_batch_down():
    losses = [1.0, 5.0, 3.0, 4.0, 2.0]
    g = weights("baldro-g")(torch.tensor(losses), g_fraction=0.5)
    assert g.tolist() == cvar(losses, 2 / 5).tolist() != cvar(losses, 0.5).tolist()


@relaxed
@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=30), st.floats(0.01, 1))
def test_the_hardest_share_and_no_more(losses, alpha):
    q, losses = cvar(losses, alpha), np.array(losses)
    size = max(1, alpha * len(losses))
    assert (q <= (1 + 1e-12) / size).all() and (q > 0).sum() == math.ceil(size - 1e-9)
    assert ((q > 0) & (q < (1 - 1e-9) / size)).sum() <= 1
    assert losses[q > 0].min() >= losses[q == 0].max(initial=-math.inf)


@pytest.mark.parametrize("n, alpha, kept", [(100, 0.29, 29), (100, 0.07, 7), (10, 0.7, 7), (30, 0.1, 3)])
def test_a_share_that_means_a_whole_number_keeps_no_sample_beyond(n, alpha, kept):
    assert cvar(np.arange(n), alpha).tolist() == [0] * (n - kept) + [1 / kept] * kept


@pytest.mark.parametrize("alpha", [0.0, -0.5, 1.1, math.nan])
def test_a_share_is_above_zero_and_at_most_one(alpha):
    with refused("value-not-allowed", "cvar_alpha", alpha):
        cvar([1.0, 2.0], alpha)
