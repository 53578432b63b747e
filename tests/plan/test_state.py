"""Bytes that a trained parameter takes, by precision and optimiser, by hand."""

import pytest

from baldro.plan import cost
from baldro.runs import Run

POINT = dict(benchmark="b", model="m", split="forget10", objective="npo")
SCALES = 2 * 4 / 256
"""Of 8-bit moments: a float32 for each block of 256."""


@pytest.mark.parametrize(
    ("precision", "optimiser", "held", "stored"),  # weight + copy + gradient + moments; weight + moments
    [
        ("fp32", "adamw", 4 + 4 + 8, 4 + 8),
        ("bf16", "adamw", 4 + 2 + 4 + 8, 4 + 8),
        ("bf16-only", "adamw", 2 + 2 + 4, 2 + 4),
        ("bf16-stochastic", "adamw", 2 + 2 + 8, 2 + 8),
        ("fp32", "adamw-8bit", 4 + 4 + 2 + SCALES, 4 + 2 + SCALES),
        ("bf16", "adamw-8bit", 4 + 2 + 4 + 2 + SCALES, 4 + 2 + SCALES),
        ("bf16-stochastic", "adamw-8bit", 2 + 2 + 2 + SCALES, 2 + 2 + SCALES),
    ],
)
def test_bytes_of_a_trained_parameter(precision, optimiser, held, stored):
    run = Run.of(**POINT, precision=precision, optimiser=optimiser)
    assert cost.of_trained(run, precision) == held
    assert cost.WEIGHT[precision] + cost.moments(run, precision) == stored
    assert cost.of_state(run) == f"{held:.3g} bytes a parameter"
