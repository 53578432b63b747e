"""What holds for the weights of any variant, whatever the losses."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from baldro.methods.declared import declared
from baldro.methods.variants import weights

relaxed = settings(max_examples=15)

CASES = [
    ("base", {}),
    ("baldro-g", {}),
    ("baldro-g", {"g_fraction": 0.29}),
    ("baldro-dv", {}),
    ("baldro-dv", {"dv_beta": 0.5}),
    ("baldro-dv", {"dv_direction": "easy"}),
    ("baldro-dv-learned", {}),
    ("baldro-dv-learned", {"dv_rho": 1e-6}),
    ("baldro-dv-learned", {"dv_rho": 2.0, "dv_beta_min": 0.5}),
    ("chi2", {}),
    ("chi2", {"chi2_rho": 0.0}),
    ("chi2", {"chi2_rho": 0.1}),
    ("chi2", {"chi2_rho": 5.0}),
    ("cvar", {}),
    ("cvar", {"cvar_alpha": 0.29}),
    ("cvar", {"cvar_alpha": 1.0}),
    ("topk", {}),
    ("topk", {"topk_fraction": 0.29, "topk_temperature": 0.1}),
    ("topk", {"topk_fraction": 0.999, "topk_temperature": 50.0}),
]
EARLIER_FIRST = ("baldro-g", "cvar")
every = pytest.mark.parametrize("name, fields", CASES, ids=lambda case: str(case))
HUGE = st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=20)
APART = st.lists(st.integers(-4000, 4000), min_size=1, max_size=20, unique=True)
"""In units of 1/64, so that sums are exact and no two are nearly alike."""


def of(name, losses, fields, dtype=torch.float64):
    return weights(name)(torch.tensor(losses, dtype=dtype), **fields).numpy()


def test_no_variant_is_left_out():
    assert {name for name, _ in CASES} == set(declared("variants", "variant"))


@every
@relaxed
@given(HUGE, st.sampled_from([torch.float32, torch.float64]))
def test_weights_are_shares_and_a_higher_loss_never_weighs_less(name, fields, losses, dtype):
    shares = of(name, losses, fields, dtype)
    assert shares.dtype == np.float64 and shares.shape == (len(losses),)
    assert (shares >= 0).all() and shares.sum() == pytest.approx(1, abs=1e-12)
    # Of two alike, the later one first: the earlier may have more.
    ranked = shares[np.lexsort((-np.arange(len(losses)), losses))]
    ranked = ranked[::-1] if fields.get("dv_direction") == "easy" else ranked
    assert (np.diff(ranked) >= -1e-15).all()


@every
@relaxed
@given(APART, st.randoms(use_true_random=False), st.integers(-(10**6), 10**6))
def test_weights_follow_their_losses_and_a_shift_changes_nothing(name, fields, losses, random, shift):
    losses = np.array(losses) / 64
    shares, order = of(name, losses, fields), random.sample(range(len(losses)), len(losses))
    assert of(name, losses[order], fields) == pytest.approx(shares[order], abs=1e-12)
    assert of(name, losses + shift, fields) == pytest.approx(shares, abs=1e-9)


@every
def test_equal_losses(name, fields):
    for n, loss in itertools.product([1, 2, 7, 32], [0.0, -3.5, 1e6]):
        shares = of(name, [loss] * n, fields, torch.float32)
        if name in EARLIER_FIRST:
            assert (np.diff(shares) <= 0).all() and shares.sum() == pytest.approx(1)
        else:
            assert shares == pytest.approx(1 / n, rel=1e-12)
        assert n > 1 or shares.tolist() == [1]


@every
def test_weights_are_found_in_float64_without_gradients_and_leave_the_losses_alone(name, fields):
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        losses = torch.tensor([13.86, 10.0, 5.0, 1.0, 5.1], dtype=dtype, requires_grad=True)
        before = losses.tolist()
        found = weights(name)(losses, **fields)
        assert not found.requires_grad and found.dtype == torch.float64
        assert losses.tolist() == before and found.tolist() == of(name, before, fields).tolist()


@every
def test_losses_of_a_million_in_float32_and_such_as_are_no_numbers(name, fields):
    near = [0.0, 1.0, 0.5, 0.25]
    assert of(name, [1e6 + loss for loss in near], fields, torch.float32) == pytest.approx(
        of(name, near, fields), abs=1e-9
    )
    far = of(name, [1e6, -1e6, 0.0, 1e6 - 1], fields, torch.float32)
    assert np.isfinite(far).all() and far.sum() == pytest.approx(1)
    for at in (0, 2, 3):
        losses = [3.0, 2.0, 1.0, 0.0]
        losses[at] = float("nan")
        assert of(name, losses, fields)[at] != 0, "a loss that is no number is not passed over"
