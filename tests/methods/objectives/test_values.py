"""Every objective's value and gradient against its formula in plain numpy, differentiated numerically.

A formula is of what is varied (a sample) and of what is held: the same sample, for the weights that are not differentiated.
"""

import inspect
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from baldro.methods.declared import declared
from baldro.methods.objectives import TokenStats, loss_function

relaxed = settings(max_examples=4)
DECLARED = declared("objectives", "objective")


def logp(z, y):
    return np.array([row[k] - math.log(sum(math.exp(v) for v in row)) for row, k in zip(z, y, strict=True)])


def gain(s):
    """log p(y) - log r(y), summed over the answer."""
    return sum(logp(s.z, s.y)) - sum(logp(s.r, s.y))


def others(row, k):
    return np.delete(row, k)


def ascent(s, held):
    return np.mean(logp(s.z, s.y))


def npo(s, held, npo_beta=0.1):
    return 2 / npo_beta * math.log(1 + math.exp(npo_beta * gain(s)))


def simnpo(s, held, simnpo_beta=4.5, simnpo_delta=0.0):
    return 2 / simnpo_beta * math.log(1 + math.exp(-simnpo_beta * (-np.mean(logp(s.z, s.y)) - simnpo_delta)))


def satimp(s, held, satimp_beta1=5.0, satimp_beta2=1.0):
    p = np.exp(logp(held.z, held.y))
    return np.mean(p**satimp_beta1 * (1 - p) ** satimp_beta2 * logp(s.z, s.y))


def wga(s, held, wga_beta=1.0):
    return np.mean(np.exp(logp(held.z, held.y)) ** wga_beta * logp(s.z, s.y))


def tnpo(s, held, tnpo_beta=4.0, tnpo_weight="detached"):
    weighed = held if tnpo_weight == "detached" else s
    p, r = np.exp(logp(weighed.z, s.y)) ** tnpo_beta, np.exp(logp(s.r, s.y)) ** tnpo_beta
    return np.mean(2 * p / (p + r) * logp(s.z, s.y))


def dpo(s, held, dpo_beta=0.1):
    return -2 / dpo_beta * math.log(1 / (1 + math.exp(-dpo_beta * (gain(s.win) - gain(s)))))


def undial(s, held, undial_beta=10.0):
    losses = []
    for z, r, k in zip(s.z, s.r, s.y, strict=True):
        q = np.exp(r - undial_beta * (np.arange(len(r)) == k))
        losses.append(-sum(q / sum(q) * (z - math.log(sum(np.exp(z))))))
    return np.mean(losses)


def ceu(s, held):
    losses = []
    for z, fixed, k in zip(s.z, held.z, s.y, strict=True):
        q = np.exp(others(fixed, k))
        losses.append(-sum(q / sum(q) * (others(z, k) - math.log(sum(np.exp(z))))))
    return np.mean(losses)


def pdu(s, held):
    return np.mean([(max(z) - sum(z) / len(z)) ** 2 for z in s.z])


def ihl(s, held):
    losses = []
    for z, k in zip(s.z, s.y, strict=True):
        p = np.exp(z) / sum(np.exp(z))
        losses.append(max(0, 1 + p[k] - max(others(p, k))))
    return np.mean(losses)


def rmu(s, held, rmu_layer=7, rmu_steering=2.0, rmu_positions="answer", rmu_weights="all", rmu_topics="alternating"):
    u = direction(s.h.shape[1], seed=0)
    return np.mean([sum((h - rmu_steering * u) ** 2) / len(u) for h in s.h])


def direction(width, seed):
    """As the loss's own gradient at the origin has it: -2 c u / H."""
    h_BTH = torch.zeros(1, 1, width, dtype=torch.float64, requires_grad=True)
    stats = TokenStats(mask_BT=torch.tensor([[True]]), activation_BTH=h_BTH, seed=seed)
    (slope_BTH,) = torch.autograd.grad(loss_function("rmu")(stats, rmu_steering=1.0).sum(), h_BTH)
    return -slope_BTH[0, 0].numpy() * width / 2


FORMULAS: dict[str, Callable] = dict(
    gradascent=ascent, graddiff=ascent, npo=npo, simnpo=simnpo, satimp=satimp, wga=wga, tnpo=tnpo, idkdpo=dpo, altpo=dpo
) | dict(undial=undial, ceu=ceu, pdu=pdu, ihl=ihl, rmu=rmu)
FIELDS: dict[str, list[dict]] = {
    "npo": [{}, {"npo_beta": 1.3}],
    "simnpo": [{}, {"simnpo_beta": 0.7, "simnpo_delta": 1.5}],
    "satimp": [{}, {"satimp_beta1": 0.5, "satimp_beta2": 2.5}],
    "wga": [{}, {"wga_beta": 5.0}, {"wga_beta": 0.0}],
    "tnpo": [{}, {"tnpo_beta": 0.4}, {"tnpo_weight": "differentiated", "tnpo_beta": 1.0}],
    "idkdpo": [{}, {"dpo_beta": 1.1}],
    "altpo": [{}, {"dpo_beta": 0.6}],
    "undial": [{}, {"undial_beta": 0.0}],
    "rmu": [  # what it is given and what is trained is the forward pass's and the optimiser's matter: update/test_released_rmu.py
        {},
        {
            "rmu_layer": 3,
            "rmu_steering": 6.5,
            "rmu_positions": "padded",
            "rmu_weights": "down-proj",
            "rmu_topics": "mixed",
        },
    ],
}
CASES = [(name, fields) for name in FORMULAS for fields in FIELDS.get(name, [{}])]


def slope(function, at):
    """Central differences of a function of an array."""
    found = np.zeros_like(at)
    for place in np.ndindex(*at.shape):
        step = np.zeros_like(at)
        step[place] = 1e-5
        found[place] = (function(at + step) - function(at - step)) / 2e-5
    return found


def expected(name, s, fields):
    """Value, and gradients by the sample's own logits, the other answer's and the hidden states."""

    def value(changed):
        return FORMULAS[name](changed, s, **fields)

    return value(s), {
        "z": slope(lambda z: value(replace(s, z=z)), s.z),
        "win": slope(lambda z: value(replace(s, win=replace(s.win, z=z))), s.win.z),
        "h": slope(lambda h: value(replace(s, h=h)), s.h),
    }


def test_every_objective_has_a_formula_here():
    assert set(FORMULAS) == set(DECLARED)


@relaxed
@given(seed=st.integers(0, 10**6), lengths=st.lists(st.integers(1, 4), min_size=1, max_size=3))
@pytest.mark.parametrize("name, fields", CASES)
def test_value_and_gradient(name, fields, seed, lengths, draw, give, gradients):
    samples = draw(seed, lengths)
    here = give(samples, DECLARED[name].options.get("needs", ()))
    loss_B = loss_function(name)(here.stats, **fields)
    share_B = torch.linspace(1, 2, len(samples), dtype=torch.float64)
    found = gradients(loss_B @ share_B, here)
    at = {"z": 0, "win": 0}
    for b, s in enumerate(samples):
        value, slopes = expected(name, s, fields)
        assert loss_B[b].item() == pytest.approx(value, rel=1e-9, abs=1e-12)
        own = {"h": found["h"][b, : len(s.y)]}
        for leaf in {"z", "win"} & set(found):
            count = len(slopes[leaf])
            own[leaf] = found[leaf][at[leaf] : at[leaf] + count]
            at[leaf] += count
        for leaf, gradient in own.items():
            np.testing.assert_allclose(gradient.numpy(), slopes[leaf] * share_B[b].item(), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name, fields", CASES)
def test_float32_is_near(name, fields, draw, give, gradients):
    both = []
    for dtype in (torch.float64, torch.float32):
        here = give(draw(1), dtype=dtype)
        loss_B = loss_function(name)(here.stats, **fields)
        assert loss_B.dtype == dtype
        both.append((loss_B, gradients(loss_B.sum(), here)))
    torch.testing.assert_close(both[1][0].double(), both[0][0], rtol=1e-5, atol=1e-6)
    for leaf, gradient in both[0][1].items():
        torch.testing.assert_close(both[1][1][leaf].double(), gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", DECLARED)
def test_what_the_source_declares_is_what_the_function_takes(name):
    function = loss_function(name, level="token" if DECLARED[name].function == "token_loss" else "sample")
    own = [p for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]
    assert {p.name: p.default for p in own} == {k: spec["default"] for k, spec in DECLARED[name].fields.items()}
    assert {k for fields in FIELDS.get(name, []) for k in fields} == {p.name for p in own}
