"""Right on a GPU: what must hold on any device, each as a function of the device and of whether it should be quick.

The tests of tests/gpu assert each; `python -m benchmarks.gpu` shows them all.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

from benchmarks.gpu import evidence, forks, training, updates
from benchmarks.gpu.given import Check
from benchmarks.gpu.record import Context

CHECKS: list[Callable[[torch.device, bool], Check]] = [
    updates.update_fp32,
    updates.update_bf16,
    updates.update_bf16_only,
    updates.micro_batches,
    updates.second_derivative,
    updates.chunked_head,
    training.rounding,
    training.float32,
    training.resume,
    training.peak_memory,
    training.out_of_memory,
    evidence.in_float32,
    evidence.in_bf16,
    evidence.drafts,
    forks.warm_fork,
]
"""In the order in which they are run; they share nothing, and one that raises leaves the others as they are."""


def rows(context: Context) -> Iterator[dict[str, Any] | str]:
    """A row a check; one that raises has failed, with its reason."""
    for at, check in enumerate(CHECKS):
        if context.left() < 0:
            yield f"stopped at its budget: {at} of {len(CHECKS)} checks made"
            return
        began = time.monotonic()
        try:
            found = check(context.device, context.quick)
        except Exception as error:  # whatever it is, the next check is another
            name = f"{check.__module__.rpartition('.')[2]}.{check.__name__}"
            found = Check(name, False, f"{type(error).__name__}: {str(error).partition(chr(10))[0]}", "no error")
        yield {
            "check": found.name,
            "held": "yes" if found.passed else "NO",
            "measured": found.value,
            "allowed": found.allowed,
            "s": time.monotonic() - began,
            "note": found.note,
            "failed": not found.passed,
        }


__all__ = ["CHECKS", "Check", "rows"]
