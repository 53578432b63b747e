"""The two halves of a batch: what a sample's loss is, and how the losses of a whole half become weights.

What fits one forward pass takes one; otherwise uniform weights are known before, those of an online variant are found on the way
(`OnlineSoftmax`, no second forward pass), and all others from the losses without gradients, after which only samples with weight go
forward and backward. A variant most of whose weights are 0 always ranks first: the forward pass costs less than what it saves.

Shape legend: B samples of the half, T answer tokens, U units that are weighted: samples, or the batch's answer tokens.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from baldro import robust
from baldro.combine import losses as retain_losses
from baldro.combine.forward import Forward
from baldro.combine.gradients import Gradients
from baldro.combine.parts import Peers, Sample, Seen
from baldro.data.encode import Tokens
from baldro.grid import OBJECTIVES, VARIANTS, Run
from baldro.objectives import TokenStats, loss_function
from baldro.robust.online import OnlineSoftmax


class Side:
    """Samples of one half of the batch, and their weights.

    Args:
        lengths: positions of each sample, by which pieces are ordered.
        variant: a key of VARIANTS; `fields` are its own, by their names in its function.
        room: samples in one forward pass.
    """

    def __init__(self, *, lengths: Sequence[int], variant: str, fields: dict[str, Any], room: int, peers: Peers):
        self.lengths, self.count, self.room, self.peers = lengths, len(lengths), max(1, room), peers
        self.variant, self.fields = VARIANTS[variant], fields
        self.weigh: Callable[..., Tensor] = robust.weights(variant)
        self.seen = Seen(self.count)
        self.mine = peers.share(self.count)
        self.weights_B: Tensor | None = None
        """Once they are known."""

    # What each half knows --------------------------------------------------------------------------------------------

    def stats(self, piece: Sequence[int]) -> TokenStats:
        """Forward pass over some samples."""
        raise NotImplementedError

    def units(self, stats: TokenStats, piece: Sequence[int]) -> Tensor:
        """The losses that are weighted: of samples (B,), or of all answer tokens, row by row (U,)."""
        raise NotImplementedError

    def ranks(self, losses_B: Tensor, stats: TokenStats) -> Tensor:
        """What the weights are taken from: the losses, unless the run says otherwise."""
        return losses_B

    @property
    def online(self) -> bool:
        """Whether weights may be found on the way: nothing else is in the gradient that is scaled."""
        return self.variant.online

    # Weights ---------------------------------------------------------------------------------------------------------

    def prepare(self) -> list[int]:
        """Weights that are known before the backward passes, if the variant's are; this device's samples that have any."""
        if not self.count:
            self._know(torch.zeros(0))
        elif self.variant.uniform:
            self._know(self.weigh(torch.zeros(self.count, dtype=torch.float64)))
        elif self.variant.ranks:
            self._know(self.weigh(self._without_gradients(), **self.fields))
        return self.mine

    def _know(self, weights_B: Tensor) -> None:
        self.weights_B = weights_B.double().cpu()
        self.mine = [i for i in self.mine if self.weights_B[i] != 0]

    @torch.no_grad()
    def _without_gradients(self) -> Tensor:
        """What the weights are taken from, of every sample (B,)."""
        ranks_B = torch.zeros(self.count, dtype=torch.float64)
        for piece in self.pieces(self.mine):
            stats = self.stats(piece)
            losses_B = self.units(stats, piece)
            self.seen.note(piece, losses_B, stats)
            ranks_B[piece] = self.ranks(losses_B, stats).double().cpu()
        return self.peers.total(ranks_B)

    def pieces(self, indices: Sequence[int]) -> list[list[int]]:
        """Pieces of similar length, as many samples as one forward pass takes."""
        ordered = sorted(indices, key=lambda i: -self.lengths[i])
        return [ordered[at : at + self.room] for at in range(0, len(ordered), self.room)]

    # Losses ----------------------------------------------------------------------------------------------------------

    def loss(self, stats: TokenStats, piece: Sequence[int], weigh: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """sum_u w_u l_u of a piece, weights constant; notes what each sample had.

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
        self.seen.note(piece, units_U, stats)
        self.seen.weight_B[list(piece)] = weights_U.double().cpu()

    def backward(self, factor: float, gradients: Gradients) -> None:
        """Leaves factor * the gradient of this half; `prepare` was called before."""
        if self.weights_B is None and not (self.peers.size == 1 and len(self.mine) <= self.room):
            if self.online:
                return self._online(factor, gradients)
            self._know(self.weigh(self._without_gradients(), **self.fields))
        for piece in self.pieces(self.mine):
            (factor * self.loss(self.stats(piece), piece)).backward()
            gradients.collect()

    def _online(self, factor: float, gradients: Gradients) -> None:
        """Gradients weighted by exp(x - m), shrunk when m grows, divided by Z in the end."""
        softmax = OnlineSoftmax(**self.fields)

        def scale(by: float) -> None:
            if by != 1:
                self.seen.weight_B *= by
                gradients.scale(by)

        def admit(units_U: Tensor) -> Tensor:
            weights_U, shrink = softmax.admit(units_U)
            scale(shrink)
            return weights_U

        for piece in self.pieces(self.mine):
            (factor * self.loss(self.stats(piece), piece, admit)).backward()
            gradients.collect()
        scale(softmax.raise_to(self.peers.largest(softmax.m)))
        scale(1 / float(self.peers.total(torch.tensor([softmax.Z], dtype=torch.float64))))

    def share(self) -> None:
        """Every device's samples on every device; from now on the weights are known."""
        self.seen.share(self.peers)
        if self.weights_B is None:
            self.weights_B = self.seen.weight_B


class ForgetSide(Side):
    """The forget half: the run's objective and variant."""

    def __init__(self, forward: Forward, run: Run, samples: Sequence[Sample], *, micro_batch: int, peers: Peers):
        self.forward, self.run, self.samples = forward, run, samples
        method, variant = OBJECTIVES[run.objective], VARIANTS[run.variant]
        self.by_token = run.dv_level == "token"
        if method.unlearns:  # finetuning has no forget half
            self.loss_of = loss_function(run.objective, level="token" if self.by_token else "sample")
        self.own = {name: getattr(run, name) for name in method.fields}
        super().__init__(
            lengths=[max(len(tokens.ids) for tokens in sample.sequences) for sample in samples],
            variant=run.variant,
            fields={name: getattr(run, name) for name in variant.fields},
            room=micro_batch // (2 if method.answers else 1),
            peers=peers,
        )

    def stats(self, piece: Sequence[int]) -> TokenStats:
        return self.forward([self.samples[i] for i in piece], [])[0]

    def units(self, stats: TokenStats, piece: Sequence[int]) -> Tensor:
        loss = self.loss_of(stats, **self.own)
        return loss[stats.mask_BT] if self.by_token else loss

    def ranks(self, losses_B: Tensor, stats: TokenStats) -> Tensor:
        return losses_B if self.run.g_rank in (None, "loss") else -stats.seen_nll_B()

    def _note(self, units_U: Tensor, weights_U: Tensor, piece: Sequence[int], stats: TokenStats) -> None:
        if self.by_token:
            empty_BT = units_U.new_zeros(stats.mask_BT.shape)
            units_U = stats.mean(empty_BT.masked_scatter(stats.mask_BT, units_U.detach()))
            weights_U = empty_BT.masked_scatter(stats.mask_BT, weights_U).sum(1)
        super()._note(units_U, weights_U, piece, stats)

    def micro_batches(self, factor: float, gradients: Gradients) -> None:
        """Released: the mean over micro-batches of each one's own robust gradient, instead of the whole batch's."""
        size = self.run.micro_batch_size
        groups = [list(range(at, min(at + size, self.count))) for at in range(0, self.count, size)]
        weight_B = torch.zeros(self.count, dtype=torch.float64)
        for group in groups[self.peers.rank :: self.peers.size]:
            kept = group
            if self.variant.ranks:
                with torch.no_grad():
                    stats = self.stats(group)
                    losses_B = self.units(stats, group)
                    self.seen.note(group, losses_B, stats)
                    own_B = self._of_all(self.ranks(losses_B, stats).double()).cpu()
                kept = [i for i, w in zip(group, own_B, strict=True) if w > 0]
                weight_B[group] = own_B
            own = weight_B[kept] if self.variant.ranks else None
            loss = self.loss(
                self.stats(kept),
                kept,
                lambda units, own=own: (self._of_all(units) if own is None else own) / len(groups),
            )
            (factor * loss).backward()
            gradients.collect()


class RetainSide(Side):
    """The retain half: the run's retain loss, by default its plain mean."""

    online = False  # the forget half may be in the gradient that would be scaled

    def __init__(self, forward: Forward, run: Run, samples: Sequence[Tokens], *, micro_batch: int, peers: Peers):
        self.forward, self.run, self.samples = forward, run, samples
        variant = run.retain_variant or "base"
        self.values = retain_losses.VALUES[run.retain_loss or "cross-entropy"]
        self.normalise = retain_losses.SHARES[run.retain_normalisation or "token-mean"]
        super().__init__(
            lengths=[len(tokens.ids) for tokens in samples],
            variant=variant,
            fields={name: getattr(run, f"retain_{name}") for name in VARIANTS[variant].fields},
            room=micro_batch,
            peers=peers,
        )

    def stats(self, piece: Sequence[int]) -> TokenStats:
        return self.forward([], [self.samples[i] for i in piece])[1]

    def units(self, stats: TokenStats, piece: Sequence[int]) -> Tensor:
        """Per sample, so that their plain mean over the half is the retain loss."""
        values_BT = self.values(stats).masked_fill(~stats.mask_BT, 0)
        return self.normalise(values_BT.sum(1), [self.samples[i].answer for i in piece], self.samples)
