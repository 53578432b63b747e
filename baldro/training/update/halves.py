"""The two halves of a batch: forget samples with the run's objective and variant, retain samples with its retain loss and variant.

Where the run's robust_scope is the micro-batch, a half is that of one micro-batch (`scopes`), and so is every mean here.

Shape legend: B samples of the half, T answer tokens, U units that are weighted: samples, or the batch's answer tokens.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from baldro.methods.objectives import TokenStats, loss_function
from baldro.prompts.encode import Tokens
from baldro.runs import VARIANTS, Run
from baldro.training import pieces
from baldro.training.update import losses as retain_losses
from baldro.training.update.forward import Forward
from baldro.training.update.half import Half
from baldro.training.update.parts import DeviceGroup, Sample


class ForgetHalf(Half):
    """The forget half: the run's objective and variant."""

    def __init__(
        self, forward: Forward, run: Run, samples: Sequence[Sample], *, micro_batch: int, devices: DeviceGroup
    ):
        self.forward, self.run, self.samples = forward, run, samples
        method, variant = run.method, VARIANTS[run.variant]
        self.by_token = run.dv_level == "token"
        self.token_mean = run.forget_normalisation == "token-mean"
        if run.facts.forgets:  # finetuning has no forget half
            level = "token" if self.by_token or self.token_mean else "sample"
            self.loss_of = loss_function(run.objective, level=level)
        self.own = {name: getattr(run, name) for name in method.fields}
        self.online = pieces.online(run)
        super().__init__(
            lengths=[max(len(tokens.ids) for tokens in sample.sequences) for sample in samples],
            variant=run.variant,
            fields={name: getattr(run, name) for name in variant.fields},
            room=pieces.forget_samples(run, micro_batch, len(samples)),
            devices=devices,
        )

    def stats(self, piece: Sequence[int]) -> TokenStats:
        return self.forward([self.samples[i] for i in piece], [], widths=(self.width, 0))[0]

    def units(self, stats: TokenStats, piece: Sequence[int]) -> Tensor:
        loss = self.loss_of(stats, **self.own)
        if self.token_mean:  # whose plain mean over the half is the mean over its answer tokens
            return loss.masked_fill(~stats.mask_BT, 0).sum(1) * (self.count / sum(self._answers()))
        return loss[stats.mask_BT] if self.by_token else loss

    def _answers(self) -> list[int]:
        """Answer tokens of each sample."""
        return [sample.tokens.answer for sample in self.samples]

    def _know(self, weights_B: Tensor) -> None:
        """With a variant that keeps some samples, the token mean is over the tokens of those that it keeps (released GroupSatImp)."""
        if self.token_mean and self.variant.ranks and self.count:
            answers_B = torch.tensor(self._answers(), dtype=torch.float64)
            weights_B = weights_B.double().cpu() * (answers_B.mean() / (weights_B.double().cpu() * answers_B).sum())
        super()._know(weights_B)

    def ranks(self, losses_B: Tensor, stats: TokenStats) -> Tensor:
        return losses_B if self.run.g_rank in (None, "loss") else -stats.detached_nll_B()

    def _note(self, units_U: Tensor, weights_U: Tensor, piece: Sequence[int], stats: TokenStats) -> None:
        if self.by_token:  # the mean as its tokens weigh: then weight times loss is what descends
            empty_BT = units_U.new_zeros(stats.mask_BT.shape)
            loss_BT = empty_BT.masked_scatter(stats.mask_BT, units_U.detach())
            weight_BT = empty_BT.masked_scatter(stats.mask_BT, weights_U)
            weights_U = weight_BT.sum(1)
            share_BT = weight_BT / weights_U[:, None].where(weights_U[:, None] > 0, torch.inf)
            units_U = torch.where(weights_U > 0, (share_BT * loss_BT).sum(1), stats.mean(loss_BT))
        super()._note(units_U, weights_U, piece, stats)


class RetainHalf(Half):
    """The retain half: the run's retain loss, by default its plain mean."""

    online = False  # the forget half may be in the gradient that would be scaled

    def __init__(
        self, forward: Forward, run: Run, samples: Sequence[Tokens], *, micro_batch: int, devices: DeviceGroup
    ):
        self.forward, self.run, self.samples = forward, run, samples
        variant = run.retain_variant or "base"
        self.values = retain_losses.VALUES[run.retain_loss or "cross-entropy"]
        by_position = (
            run.rmu_positions == "padded" and run.retain_loss == "activations"
        )  # of which samples have equally many
        self.normalise = retain_losses.SHARES[
            "sample-mean" if by_position else run.retain_normalisation or "token-mean"
        ]
        super().__init__(
            lengths=[len(tokens.ids) for tokens in samples],
            variant=variant,
            fields={name: getattr(run, f"retain_{name}") for name in VARIANTS[variant].fields},
            room=micro_batch,
            devices=devices,
        )

    def stats(self, piece: Sequence[int]) -> TokenStats:
        return self.forward([], [self.samples[i] for i in piece], widths=(0, self.width))[1]

    def units(self, stats: TokenStats, piece: Sequence[int]) -> Tensor:
        """A loss per sample, whose plain mean over the half is the retain loss."""
        values_BT = self.values(stats).masked_fill(~stats.mask_BT, 0)
        return self.normalise(values_BT.sum(1), [self.samples[i].answer for i in piece], self.samples)
