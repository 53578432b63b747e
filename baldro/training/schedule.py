"""How many steps a run has, which samples each takes, and its learning rate. Imports no torch, since the plan uses it."""

import math
from dataclasses import dataclass

from baldro.runs import Run


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The steps of a run over a split of n samples."""

    n: int
    """Samples of the split that sets the pace: forget in unlearning."""
    batch_size: int
    total: int
    """Optimiser steps, at least 1."""
    warmup: int
    """Steps in which the learning rate rises, fewer than `total`."""

    @classmethod
    def of(cls, run: Run, n: int) -> "Schedule":
        """The schedule of a run; an epoch's last batch may be smaller than the others."""
        per_epoch = math.ceil(n / run.batch_size)
        total = max(1, round(run.epochs * per_epoch))
        total = min(total, run.max_steps or total)
        return cls(
            n=n, batch_size=run.batch_size, total=total, warmup=min(total - 1, round(run.warmup_epochs * per_epoch))
        )

    def at(self, step: int) -> tuple[int, int]:
        """First position and size of a step's batch in the endless sequence of samples (`draw`)."""
        per_epoch = math.ceil(self.n / self.batch_size)
        lap, i = divmod(step, per_epoch)
        return lap * self.n + i * self.batch_size, min(self.batch_size, self.n - i * self.batch_size)

    @property
    def drawn(self) -> int:
        """Samples that all steps take together; a sample that is taken in two epochs counts twice."""
        return sum(self.at(self.total - 1))


def lr_factor(shape: str, step: int, schedule: Schedule) -> float:
    """Share of the peak learning rate at a step, in [0, 1]: linear warm-up from 0, then constant, linear or cosine decay to 0.

    The same numbers as transformers' schedules (a test compares), whose import costs every job a second.

    Args:
        shape: a run's `schedule`: constant, linear or cosine.
    """
    if step < schedule.warmup:
        return step / schedule.warmup
    done = (step - schedule.warmup) / max(1, schedule.total - schedule.warmup)
    return {"constant": 1.0, "linear": max(0.0, 1 - done), "cosine": (1 + math.cos(math.pi * done)) / 2}[shape]
