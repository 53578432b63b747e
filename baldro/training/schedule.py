"""How many steps a run has, which samples each takes, and its learning rate."""

import math
from dataclasses import dataclass

from baldro.runs import Run


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Steps of a run, from the size of its split."""

    n: int
    """Samples of the split that sets the pace: forget in unlearning."""
    batch_size: int
    total: int
    warmup: int

    @classmethod
    def of(cls, run: Run, n: int) -> "Plan":
        """Steps and warm-up steps; an epoch's last batch may be smaller than the others."""
        per_epoch = math.ceil(n / run.batch_size)
        total = max(1, round(run.epochs * per_epoch))
        total = min(total, run.max_steps or total)
        return cls(
            n=n, batch_size=run.batch_size, total=total, warmup=min(total - 1, round(run.warmup_epochs * per_epoch))
        )

    def at(self, step: int) -> tuple[int, int]:
        """First position and size of a step's batch in the endless row of samples."""
        per_epoch = math.ceil(self.n / self.batch_size)
        lap, i = divmod(step, per_epoch)
        return lap * self.n + i * self.batch_size, min(self.batch_size, self.n - i * self.batch_size)


def lr_factor(schedule: str, step: int, plan: Plan) -> float:
    """Share of the peak learning rate at a step, in [0, 1]: linear warm-up from 0, then constant, linear or cosine decay to 0.

    The same numbers as transformers' schedules (a test compares), whose import costs every job a second.
    """
    if step < plan.warmup:
        return step / plan.warmup
    done = (step - plan.warmup) / max(1, plan.total - plan.warmup)
    return {"constant": 1.0, "linear": max(0.0, 1 - done), "cosine": (1 + math.cos(math.pi * done)) / 2}[schedule]
