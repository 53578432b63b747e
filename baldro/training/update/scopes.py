"""What of a batch is weighed and averaged together: all of it, or the samples of each micro-batch by themselves, as released trainers do.

Released (robust_scope: micro-batch): a micro-batch is a batch of its own, of as many forget as retain samples, for both halves' means
and weights; the update is the mean over micro-batches. So a retained token weighs less beside longer answers of its micro-batch, and a
micro-batch that is cut keeps as many retain samples as forget samples of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from baldro.prompts.encode import Tokens
from baldro.runs import Run
from baldro.training.update.forward import Forward
from baldro.training.update.parts import Peers, Sample, Seen
from baldro.training.update.sides import ForgetSide, RetainSide


@dataclass(frozen=True, kw_only=True)
class Scope:
    """Two halves that are weighed together; their weights are known, as far as they are known before the backward passes."""

    one: ForgetSide
    two: RetainSide
    forget: slice
    """Where its forget samples are in the batch."""
    shares: tuple[float, float]
    """Of its forget and of its retain half in the batch's: 1 / number of micro-batches."""

    @property
    def sequences(self) -> int:
        """What goes forward and backward on this device."""
        return len(self.two.mine) + sum(len(self.one.samples[i].sequences) for i in self.one.mine)

    def share(self) -> None:
        """Both halves of every device on every device; from now on their weights are known."""
        self.one.share()
        self.two.share()


def scopes(
    forward: Forward, run: Run, forget: Sequence[Sample], retain: Sequence[Tokens], *, micro_batch: int, peers: Peers
) -> list[Scope]:
    """The batch, of which each device computes some samples; or the micro-batches that are this device's, each whole.

    Args:
        micro_batch: sequences in one forward pass.
        peers: the devices that share the batch.
    """
    found, whole = [], run.robust_scope != "micro-batch"
    size = max(1, len(forget), len(retain)) if whole else run.micro_batch_size
    starts = [range(0, len(half), size) for half in (forget, retain)]
    shares = tuple(1 / max(1, len(of_half)) for of_half in starts)
    common = dict(micro_batch=micro_batch, peers=peers if whole else Peers())
    for at in [0] if whole else max(starts, key=len)[peers.rank :: peers.size]:
        rows = slice(at, at + size)
        one = ForgetSide(forward, run, forget[rows], **common)
        one.prepare()
        two = RetainSide(forward, run, _cut(one, run, retain[rows]), **common)
        two.prepare()
        found.append(Scope(one=one, two=two, forget=rows, shares=shares))
    return found


def gathered(found: Sequence[Scope], run: Run, count: int, peers: Peers) -> Seen:
    """What all devices saw of a batch of `count` forget samples; every scope was shared before."""
    seen = Seen(count)
    for scope in found:
        seen.loss_B[scope.forget] = scope.one.seen.loss_B
        seen.weight_B[scope.forget] = scope.one.seen.weight_B * scope.shares[0]
        seen.nll_B[scope.forget] = scope.one.seen.nll_B
        seen.retain += scope.shares[1] * float((scope.two.seen.weight_B * scope.two.seen.loss_B).sum())
    if run.robust_scope == "micro-batch":  # else each half is shared already
        seen.share(peers)
        seen.retain = float(peers.total(torch.tensor([seen.retain], dtype=torch.float64)))
    return seen


def _cut(one: ForgetSide, run: Run, retain: Sequence[Tokens]) -> Sequence[Tokens]:
    """Released BalDRO-G: as many retain samples as forget samples are kept; the batch is in random order already."""
    return retain if run.g_retain != "cut" else retain[: int((one.weights_B > 0).sum())]
