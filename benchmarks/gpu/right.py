"""Right on a GPU: what must hold on any device, each as a function of the device and of whether it should be quick.

The tests of tests/gpu assert each; `python -m benchmarks.gpu` shows them all.
"""

from collections.abc import Callable

import torch

from benchmarks.gpu import evidence, training, updates
from benchmarks.gpu.given import Check

CHECKS: list[Callable[[torch.device, bool], Check]] = [
    updates.update_fp32,
    updates.update_bf16,
    updates.update_bf16_only,
    updates.micro_batches,
    training.float32,
    training.resume,
    training.peak_memory,
    training.out_of_memory,
    evidence.in_float32,
    evidence.in_bf16,
]
"""In the order in which they are run; they share nothing, and one that raises leaves the others as they are."""

__all__ = ["CHECKS", "Check"]
