"""One half of a batch: the losses of all its samples give weights, and the weighted losses a gradient, whatever the pieces.

What fits one forward pass takes one; otherwise uniform weights are known before, those of an online variant are found on the way
(`OnlineSoftmax`, no second forward pass), and all others from the losses without gradients, after which only samples with weight go
forward and backward. A variant most of whose weights are 0 always ranks first: the forward pass costs less than what it saves.

Shape legend: B samples of the half, T answer tokens, U units that are weighted: samples, or the batch's answer tokens.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from baldro.methods import variants as robust
from baldro.methods.objectives import TokenStats
from baldro.methods.variants.online import OnlineSoftmax
from baldro.runs import VARIANTS
from baldro.training.update.gradients import Gradients
from baldro.training.update.parts import DeviceGroup, StepLog


class Half(ABC):
    """The samples of one half of a batch, or of a micro-batch, and their weights.

    Args:
        lengths: positions of each sample, by which pieces are ordered.
        variant: a key of VARIANTS; `fields` are its own, by their names in its function.
        room: samples in one forward pass.
    """

    online: bool
    """Whether weights are found during the backward passes: the variant allows it, and the gradient that is scaled holds nothing else."""

    def __init__(
        self, *, lengths: Sequence[int], variant: str, fields: dict[str, Any], room: int, devices: DeviceGroup
    ):
        self.lengths, self.count, self.room, self.devices = lengths, len(lengths), room, devices
        self.variant, self.fields = VARIANTS[variant], fields
        self.weigh: Callable[..., Tensor] = robust.weights(variant)
        self.log = StepLog(self.count)
        self.mine = devices.share(self.count)
        self.weights_B: Tensor | None = None
        """Weights of all samples; None until they are known."""

    # What each half knows --------------------------------------------------------------------------------------------

    @abstractmethod
    def stats(self, piece: Sequence[int]) -> TokenStats:
        """Token statistics of some samples, by one forward pass."""

    @abstractmethod
    def units(self, stats: TokenStats, piece: Sequence[int]) -> Tensor:
        """The losses that are weighted: of samples (B,), or of all answer tokens, row by row (U,)."""

    def ranks(self, losses_B: Tensor, stats: TokenStats) -> Tensor:
        """The numbers that weights are computed from: the losses, unless the run ranks by another quantity."""
        return losses_B

    # Weights ---------------------------------------------------------------------------------------------------------

    def prepare(self) -> list[int]:
        """Find the weights now if all are equal or most are 0; keep this device's samples with a weight above 0."""
        if not self.count:
            self._know(torch.zeros(0))
        elif self.variant.uniform:
            self._know(self.weigh(torch.zeros(self.count, dtype=torch.float64)))
        elif self.variant.ranks:
            self._know(self.weigh(self._without_gradients(), **self.fields))
        return self.mine

    def _know(self, weights_B: Tensor) -> None:
        """Keep the weights, and deal the samples that have any out to the devices anew, so that none goes without work."""
        self.weights_B = weights_B.double().cpu()
        kept = sorted((i for i in range(self.count) if self.weights_B[i] != 0), key=lambda i: -self.lengths[i])
        mine = [kept[place] for place in self.devices.share(len(kept))]
        self.log.forget([i for i in kept if i in self.mine and i not in mine])
        self.mine = sorted(mine)

    def _without_gradients(self) -> Tensor:
        """The numbers that the weights are computed from, of every sample (B,)."""
        ranks_B = torch.zeros(self.count, dtype=torch.float64)
        for piece in self.pieces(self.mine):
            with self.forward.measuring():
                stats = self.stats(piece or self._filler())
                if piece:
                    losses_B = self.units(stats, piece)
                    self.log.note(piece, losses_B, stats)
                    ranks_B[piece] = self.ranks(losses_B, stats).double().cpu()
        return self.devices.total(ranks_B)

    def pieces(self, indices: Sequence[int]) -> list[list[int]]:
        """Cut some samples into pieces of similar length, of as many samples as one forward pass takes.

        Of a split model every device makes as many passes: a device that has fewer pieces gets empty ones at the end.
        """
        ordered = sorted(indices, key=lambda i: -self.lengths[i])
        found = [ordered[at : at + self.room] for at in range(0, len(ordered), self.room)]
        if self.devices.split:
            found += [[] for _ in range(int(self.devices.largest(len(found))) - len(found))]
        return found

    def _filler(self) -> list[int]:
        """What goes through the model in a pass for the others alone: the shortest sample."""
        return [min(range(self.count), key=lambda i: self.lengths[i])]

    @property
    def width(self) -> int:
        """Positions of the longest sample."""
        return max(self.lengths, default=0)

    # Losses ----------------------------------------------------------------------------------------------------------

    def loss(self, stats: TokenStats, piece: Sequence[int], weigh: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """The weighted loss of a piece, sum_u w_u l_u with constant weights; each sample's loss goes into the log.

        Args:
            weigh: losses -> weights, where they are not known: by default those of the piece alone, which must be all samples.
        """
        units_U = self.units(stats, piece)
        known, weigh = self.weights_B, weigh or self._of_all
        weights_U = known[list(piece)] if known is not None else weigh(units_U.detach())
        weights_U = weights_U.detach().to(units_U)
        self._note(units_U, weights_U, piece, stats)
        return (weights_U * units_U).sum()

    def _of_all(self, units_U: Tensor) -> Tensor:
        return self.weigh(units_U, **self.fields)

    def _note(self, units_U: Tensor, weights_U: Tensor, piece: Sequence[int], stats: TokenStats) -> None:
        self.log.note(piece, units_U, stats)
        self.log.weight_B[list(piece)] = weights_U.double().cpu()

    def backward(self, factor: float, gradients: Gradients) -> None:
        """Accumulate factor times the gradient of this half; `prepare` was called before."""
        if self.weights_B is None and not (self.devices.size == 1 and len(self.mine) <= self.room):
            if self.online:
                return self._online(factor, gradients)
            self._know(self.weigh(self._without_gradients(), **self.fields))
        for piece in self.pieces(self.mine):
            self._backward(piece, lambda stats, piece: factor * self.loss(stats, piece))
            gradients.collect()

    def _backward(
        self,
        piece: Sequence[int],
        loss: Callable[[TokenStats, Sequence[int]], Tensor],
        between: Callable[[], None] = lambda: None,
    ) -> None:
        """A forward and a backward pass; of an empty piece with a gradient of 0.

        Args:
            between: what an empty piece does in place of `loss`, where that speaks to other devices.
        """
        if piece:
            return loss(self.stats(piece), piece).backward()
        filler = self._filler()
        units_U = self.units(self.stats(filler), filler)
        between()
        (0.0 * units_U.sum()).backward()

    def _online(self, factor: float, gradients: Gradients) -> None:
        """Backward passes of an online softmax: weights exp(x - m), gradients shrunk when m grows, all divided by Z in the end."""
        softmax = OnlineSoftmax(**self.fields)

        def scale(by: float) -> None:
            if by != 1:
                self.log.weight_B *= by
                gradients.scale(by)

        def agree(m: float) -> None:
            """Of a split model a pass leaves all devices' gradient, so all scale theirs alike, pass by pass."""
            if self.devices.split:
                scale(softmax.raise_to(self.devices.largest(m)))

        def admit(units_U: Tensor) -> Tensor:
            agree(softmax.largest(units_U))
            weights_U, shrink = softmax.admit(units_U)
            scale(shrink)
            return weights_U

        for piece in self.pieces(self.mine):
            self._backward(
                piece, lambda stats, piece: factor * self.loss(stats, piece, admit), lambda: agree(softmax.m)
            )
            gradients.collect()
        scale(softmax.raise_to(self.devices.largest(softmax.m)))
        scale(1 / float(self.devices.total(torch.tensor([softmax.Z], dtype=torch.float64))))

    def share(self) -> None:
        """Exchange the log, so that every device has all samples' weights."""
        self.log.share(self.devices)
        if self.weights_B is None:
            self.weights_B = self.log.weight_B
