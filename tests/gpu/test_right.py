"""What must hold on a GPU (benchmarks/gpu/right.py), whole; `python -m benchmarks.gpu --device cpu --quick` has it on a CPU.

BALDRO_TEST_DEVICE=cpu runs the small form of the same here.
"""

import os

import pytest
import torch

from benchmarks.gpu.right import CHECKS


@pytest.fixture(scope="module")
def device():
    """The device that BALDRO_TEST_DEVICE names, or a GPU; skipped without, in CI too, which has none."""
    named = os.environ.get("BALDRO_TEST_DEVICE")
    if not named and not torch.cuda.is_available():
        pytest.skip("no CUDA GPU here; BALDRO_TEST_DEVICE=cpu runs it on the CPU")
    return torch.device(named or "cuda")


@pytest.mark.gpu
@pytest.mark.parametrize("check", CHECKS, ids=lambda c: f"{c.__module__.rpartition('.')[2]}-{c.__name__}")
def test_right(device, check):
    found = check(device, device.type == "cpu")
    assert found.passed, f"{found.value}; allowed: {found.allowed}"
