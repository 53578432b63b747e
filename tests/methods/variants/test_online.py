"""Softmax weights of a batch that comes in pieces, to one device or two, against the softmax of the whole."""

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.special import softmax

from baldro.methods.variants.online import OnlineSoftmax

LOSSES = st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=20)
HUGE = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20)
BETAS = st.floats(1e-3, 1e3)
DIRECTIONS = st.sampled_from(["hard", "easy"])


def tensor(losses, dtype=torch.float64):
    return torch.tensor(losses, dtype=dtype)


def online(pieces, beta, direction="hard"):
    """Weights of the whole, as whoever accumulates would find them."""
    state, accumulated = OnlineSoftmax(dv_beta=beta, dv_direction=direction), np.zeros(0)
    for piece in pieces:
        weights, shrink = state.admit(tensor(piece))
        accumulated = np.append(accumulated * shrink, weights.numpy())
    return accumulated, state


@pytest.mark.parametrize("direction, sign", [("hard", 1), ("easy", -1)])
def test_what_overflows_when_written_naively_is_finite(direction, sign):
    expected = np.exp(sign * np.array([0, 0, 1.0]) - max(0, sign))
    assert online([[60.0], [60.0, 60.5]], 0.5, direction)[0] == pytest.approx(expected)


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


@given(st.lists(LOSSES, max_size=3), st.lists(LOSSES, min_size=1, max_size=3), st.floats(0.05, 100))
def test_two_devices_agree_on_maximum_and_sum(here, there, beta):
    sides = [online(here, beta), online(there, beta)]
    top = max(state.m for _, state in sides)
    weights = np.concatenate([accumulated * state.raise_to(top) for accumulated, state in sides])
    total = sum(state.Z for _, state in sides)
    assert weights / total == pytest.approx(softmax(np.concatenate([*here, *there]) / beta), abs=1e-12)


@pytest.mark.parametrize("top", [3.0, -np.inf])
def test_a_device_without_a_piece_has_nothing_to_shrink(top):
    state = OnlineSoftmax(dv_beta=1.0)
    assert state.raise_to(top) == 0 and state.Z == 0
