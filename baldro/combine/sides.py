"""The two halves of a batch: forget samples with the run's objective and variant, retain samples with its retain loss and variant.

Shape legend: B samples of the half, T answer tokens, U units that are weighted: samples, or the batch's answer tokens.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from baldro.combine import losses as retain_losses
from baldro.combine.forward import Forward
from baldro.combine.gradients import Gradients
from baldro.combine.parts import Peers, Sample
from baldro.combine.side import Side
from baldro.data.encode import Tokens
from baldro.grid import OBJECTIVES, VARIANTS, Run
from baldro.objectives import TokenStats, loss_function


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
        if self.by_token:  # the mean as its tokens weigh: then weight times loss is what descends
            empty_BT = units_U.new_zeros(stats.mask_BT.shape)
            loss_BT = empty_BT.masked_scatter(stats.mask_BT, units_U.detach())
            weight_BT = empty_BT.masked_scatter(stats.mask_BT, weights_U)
            weights_U = weight_BT.sum(1)
            share_BT = weight_BT / weights_U[:, None].where(weights_U[:, None] > 0, torch.inf)
            units_U = torch.where(weights_U > 0, (share_BT * loss_BT).sum(1), stats.mean(loss_BT))
        super()._note(units_U, weights_U, piece, stats)

    def micro_batches(self, factor: float, gradients: Gradients) -> None:
        """Released: the mean over micro-batches of each one's own robust gradient, instead of the whole batch's."""
        size = self.run.micro_batch_size
        groups = [list(range(at, min(at + size, self.count))) for at in range(0, self.count, size)]
        weight_B = torch.zeros(self.count, dtype=torch.float64)
        for group in groups[self.peers.rank :: self.peers.size]:
            kept = group
            if self.variant.ranks:
                with self.forward.measuring():
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
