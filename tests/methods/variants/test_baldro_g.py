"""BalDRO-G's weights, and the plain mean."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from refusals import refused

from baldro.methods.variants import weights
from baldro.methods.variants.baldro_g import kept


def tensor(losses, dtype=torch.float64):
    return torch.tensor(losses, dtype=dtype)


def hardest(losses, fraction=0.5):
    return weights("baldro-g")(tensor(losses), g_fraction=fraction)


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=20))
def test_g_keeps_the_hardest_half(losses):
    k = max(1, len(losses) // 2)
    shares = hardest(losses).numpy()
    assert sorted(shares[shares > 0]) == pytest.approx([1 / k] * k)
    assert sorted(np.array(losses)[shares > 0]) == sorted(losses)[len(losses) - k :]


def test_g_prefers_the_earlier_of_two_that_tie():
    assert hardest([1.0, 3.0, 3.0, 3.0, 0.0]).tolist() == [0, 0.5, 0.5, 0, 0]
    assert hardest([2.0] * 40).tolist() == [1 / 20] * 20 + [0] * 20
    assert hardest([7.0]).tolist() == [1]


@pytest.mark.parametrize(
    "n, fraction, k", [(1, 0.5, 1), (3, 0.5, 1), (7, 0.5, 3), (100, 0.29, 29), (32, 0.01, 1), (5, 1.0, 5)]
)
def test_g_rounds_down_but_keeps_one(n, fraction, k):
    assert kept(n, fraction) == k


@pytest.mark.parametrize("fraction", [0.0, -0.5, 1.1, float("nan")])
def test_a_share_is_above_zero_and_at_most_one(fraction):
    with refused("value-not-allowed", "g_fraction", fraction):
        hardest([1.0, 2.0], fraction)


def test_base_is_the_mean():
    assert weights("base")(tensor([13.86, 10.0, 5.0, 1.0])).tolist() == [0.25] * 4
