"""Which samples are weighed and averaged together: those of the whole batch, or of each micro-batch, as in released trainers.

Released (robust_scope: micro-batch): a micro-batch is a batch of its own, of as many forget as retain samples, for both halves' means
and weights; the update is the mean over micro-batches. So a retained token weighs less beside longer answers of its micro-batch, and a
micro-batch that is cut keeps as many retain samples as forget samples of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from baldro.prompts.encode import Tokens
from baldro.runs import Run
from baldro.training.pieces import scoped
from baldro.training.update.forward import Forward
from baldro.training.update.halves import ForgetHalf, RetainHalf
from baldro.training.update.parts import DeviceGroup, Sample, StepLog


@dataclass(frozen=True, kw_only=True)
class Scope:
    """Two halves that are weighed together; `prepare` was called on both."""

    forget: ForgetHalf
    retain: RetainHalf
    rows: slice
    """Positions of its forget samples in the batch."""
    shares: tuple[float, float]
    """Weights of its forget and of its retain half in the batch: 1 / number of micro-batches."""

    @property
    def sequences(self) -> int:
        """Number of sequences that go forward and backward on this device."""
        return len(self.retain.mine) + sum(len(self.forget.samples[i].sequences) for i in self.forget.mine)

    def share(self) -> None:
        """Exchange both halves' logs between devices."""
        self.forget.share()
        self.retain.share()


def scopes(
    forward: Forward,
    run: Run,
    forget: Sequence[Sample],
    retain: Sequence[Tokens],
    *,
    micro_batch: int,
    devices: DeviceGroup,
) -> list[Scope]:
    """The batch as one scope, of which each device computes some samples; or this device's micro-batches, each a scope.

    Of a split model all devices make every pass together, so they share each micro-batch as they would the batch.

    Args:
        micro_batch: sequences in one forward pass.
        devices: the devices that share the batch.
    """
    found, whole = [], not scoped(run)
    size = max(1, len(forget), len(retain)) if whole else run.micro_batch_size
    starts = [range(0, len(half), size) for half in (forget, retain)]
    shares = tuple(1 / max(1, len(of_half)) for of_half in starts)
    shared = whole or devices.split
    common = dict(micro_batch=micro_batch, devices=devices if shared else DeviceGroup())
    every = max(starts, key=len)
    for at in [0] if whole else every if shared else every[devices.rank :: devices.size]:
        rows = slice(at, at + size)
        forget_half = ForgetHalf(forward, run, forget[rows], **common)
        forget_half.prepare()
        retain_half = RetainHalf(forward, run, _cut(forget_half, run, retain[rows]), **common)
        retain_half.prepare()
        found.append(Scope(forget=forget_half, retain=retain_half, rows=rows, shares=shares))
    return found


def gathered(found: Sequence[Scope], run: Run, count: int, devices: DeviceGroup) -> StepLog:
    """The log of a batch of `count` forget samples on all devices; every scope was shared before."""
    log = StepLog(count)
    for scope in found:
        log.loss_B[scope.rows] = scope.forget.log.loss_B
        log.weight_B[scope.rows] = scope.forget.log.weight_B * scope.shares[0]
        log.nll_B[scope.rows] = scope.forget.log.nll_B
        log.retain += scope.shares[1] * float((scope.retain.log.weight_B * scope.retain.log.loss_B).sum())
    if scoped(run) and not devices.split:  # else each half is shared already
        log.share(devices)
        log.retain = float(devices.total(torch.tensor([log.retain], dtype=torch.float64)))
    return log


def _cut(half: ForgetHalf, run: Run, retain: Sequence[Tokens]) -> Sequence[Tokens]:
    """Released BalDRO-G: keep as many retain samples as forget samples; the batch is in random order already."""
    return retain if run.g_retain != "cut" else retain[: int((half.weights_B > 0).sum())]
