"""Forget and retain gradients -> one update: gamma * g_forget + lambda * g_retain, whatever the micro-batch and the number of devices.

Robust weights come from the losses of the whole effective batch. What fits one forward pass takes one; otherwise base's weights are
known before, BalDRO-DV's are found on the way (`OnlineSoftmax`, no second forward), and BalDRO-G ranks first, without gradients, and
then goes forward and backward on the kept half only.

Shape legend: B samples of the effective batch, T answer tokens, U units that are weighted: samples, or the batch's answer tokens.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from baldro import robust
from baldro.data.batches import collate
from baldro.data.encode import Tokens
from baldro.grid import OBJECTIVES, Run
from baldro.models import token_logp
from baldro.objectives import TokenStats, loss_function


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A forget sample: its tokens, and the reference's log-probability of its answer where the objective needs it."""

    tokens: Tokens
    reference: float | None = None


@dataclass(frozen=True, kw_only=True)
class Peers:
    """The devices that share a step: each knows the whole batch and computes every `size`-th sample of it."""

    rank: int = 0
    size: int = 1
    total: Callable[[Tensor], Tensor] = lambda tensor: tensor
    """Sum of a tensor over all devices."""

    def largest(self, value: float) -> float:
        """Maximum of a number over all devices."""
        slots = torch.zeros(self.size, dtype=torch.float64)
        slots[self.rank] = value
        return float(self.total(slots).max()) if self.size > 1 else value


class Seen:
    """What a step saw, for the logs: per forget sample, in the order they came in, (B,) in float64; and the retain loss."""

    def __init__(self, count: int):
        self.loss_B, self.weight_B, self.nll_B = torch.zeros(3, count, dtype=torch.float64)
        self.retain = 0.0
        """Retain loss before lambda."""

    def note(self, indices: Sequence[int], losses: Tensor, stats: TokenStats) -> None:
        """Keep the losses of some samples."""
        self.loss_B[indices] = losses.detach().double().cpu()
        self.nll_B[indices] = stats.nll_B.detach().double().cpu()


class Step:
    """Accumulates the gradient of one update into `.grad`.

    Args:
        micro_batch: sequences in one forward pass; a matter of memory and speed, not of the update (unless the run's robust scope is the
            micro-batch: then the run's own micro_batch_size counts for the forget side).
        autocast: makes the context of a forward pass.
    """

    def __init__(
        self,
        model: nn.Module,
        run: Run,
        *,
        micro_batch: int,
        peers: Peers | None = None,
        autocast: Callable[[], AbstractContextManager] = nullcontext,
    ):
        self.model, self.run, self.micro_batch, self.autocast = model, run, micro_batch, autocast
        self.peers = peers or Peers()
        self.device = next(model.parameters()).device
        self.gamma = 1.0 if run.forget_weight is None else run.forget_weight
        self.lam = 1.0 if run.retain_weight is None else run.retain_weight
        self.by_token = run.dv_level == "token"

    def accumulate(self, forget: Sequence[Sample], retain: Sequence[Tokens]) -> Seen:
        """Leaves gamma * g_forget + lambda * g_retain, summed over devices, in `.grad`, which must be empty before.

        Either batch may be empty.
        """
        seen = Seen(len(forget))
        if self.run.robust_scope == "micro-batch":
            retain = self._scoped(forget, retain, seen)
            self._retain(retain, seen)
        else:
            self._whole(forget, retain, seen)
        self._share(seen)
        return seen

    # The whole effective batch ---------------------------------------------------------------------------------------

    def _whole(self, forget: Sequence[Sample], retain: Sequence[Tokens], seen: Seen) -> None:
        mine = list(range(self.peers.rank, len(forget), self.peers.size))
        weights_B = torch.full((len(forget),), 1 / max(1, len(forget)), dtype=torch.float64)
        if self.run.variant == "baldro-g" and forget:
            weights_B = robust.baldro_g(self._ranks(forget, mine, seen), g_fraction=self.run.g_fraction)
            mine = [i for i in mine if weights_B[i] > 0]
            retain = self._cut(retain, weights_B)
        if self.peers.size == 1 and len(mine) + len(retain) <= self.micro_batch:
            self._one_pass(forget, mine, weights_B, retain, seen)
            return
        if self.run.variant == "baldro-dv":
            self._online(forget, mine, seen)
        else:
            for piece in self._pieces(mine, [s.tokens for s in forget]):
                self._backward(forget, piece, seen, lambda _, p=piece: weights_B[p])
        self._retain(retain, seen)

    def _one_pass(
        self, forget: Sequence[Sample], mine: list[int], weights_B: Tensor, retain: Sequence[Tokens], seen: Seen
    ) -> None:
        stats, logp_R = self._forward([forget[i] for i in mine], retain)
        total = torch.zeros((), device=self.device)
        if mine:
            units_U = self._units(stats)
            weights_U = self._dv(units_U) if self.run.variant == "baldro-dv" else weights_B[mine]
            total = total + self.gamma * self._weighted(units_U, weights_U, mine, stats, seen)
        if retain:
            retain_loss = self._retain_loss(logp_R, retain, retain)
            seen.retain = float(retain_loss.detach())
            total = total + self.lam * retain_loss
        total.backward()

    def _online(self, forget: Sequence[Sample], mine: list[int], seen: Seen) -> None:
        """BalDRO-DV over pieces and devices: gradients weighted by exp(x - m), shrunk when m grows, divided by Z in the end."""
        softmax = robust.OnlineSoftmax(dv_beta=self.run.dv_beta, dv_direction=self.run.dv_direction)

        def admit(units_U: Tensor) -> Tensor:
            weights_U, shrink = softmax.admit(units_U)
            self._scale(shrink, seen)
            return weights_U

        for piece in self._pieces(mine, [s.tokens for s in forget]):
            self._backward(forget, piece, seen, admit)
        self._scale(softmax.raise_to(self.peers.largest(softmax.m)), seen)
        Z = float(self.peers.total(torch.tensor([softmax.Z], dtype=torch.float64)))
        self._scale(1 / Z, seen)

    def _ranks(self, forget: Sequence[Sample], mine: list[int], seen: Seen) -> Tensor:
        """What BalDRO-G sorts by, of every sample (B,), without gradients."""
        ranks_B = torch.zeros(len(forget), dtype=torch.float64)
        with torch.no_grad():
            for piece in self._pieces(mine, [s.tokens for s in forget]):
                stats, _ = self._forward([forget[i] for i in piece], [])
                losses = self._units(stats)
                seen.note(piece, losses, stats)
                ranks_B[piece] = (losses if self.run.g_rank == "loss" else -stats.nll_B).double().cpu()
        return self.peers.total(ranks_B)

    # Each micro-batch by itself (released) ---------------------------------------------------------------------------

    def _scoped(self, forget: Sequence[Sample], retain: Sequence[Tokens], seen: Seen) -> Sequence[Tokens]:
        """The mean over micro-batches of each one's robust gradient; returns the retain batch, cut where the run says so."""
        size = self.run.micro_batch_size
        pieces = [list(range(at, min(at + size, len(forget)))) for at in range(0, len(forget), size)]
        kept_B = torch.zeros(len(forget), dtype=torch.float64)
        for piece in pieces[self.peers.rank :: self.peers.size]:
            if self.run.variant == "baldro-g":
                weights = robust.baldro_g(self._ranks_of(forget, piece, seen), g_fraction=self.run.g_fraction)
                kept = [i for i, w in zip(piece, weights, strict=True) if w > 0]
                kept_B[kept] = 1
                share = 1 / len(kept) / len(pieces)
                self._backward(forget, kept, seen, lambda units, share=share: torch.full_like(units, share))
            else:
                self._backward(forget, piece, seen, lambda units: self._dv(units) / len(pieces))
        return self._cut(retain, self.peers.total(kept_B)) if self.run.variant == "baldro-g" else retain

    def _ranks_of(self, forget: Sequence[Sample], piece: list[int], seen: Seen) -> Tensor:
        with torch.no_grad():
            stats, _ = self._forward([forget[i] for i in piece], [])
            losses = self._units(stats)
            seen.note(piece, losses, stats)
            return losses if self.run.g_rank == "loss" else -stats.nll_B

    # Parts -----------------------------------------------------------------------------------------------------------

    def _forward(self, forget: Sequence[Sample], retain: Sequence[Tokens]) -> tuple[TokenStats, Tensor]:
        """One pass over both: the forget samples' token statistics, and log p of each retain answer."""
        batch = collate([*(s.tokens for s in forget), *retain], self.device)
        with self.autocast():
            logp_BT, mask_BT = token_logp(self.model, batch)
        n, reference_B = len(forget), None
        if forget and forget[0].reference is not None:
            reference_B = torch.tensor([s.reference for s in forget], dtype=torch.float32, device=self.device)
        return TokenStats(logp_BT=logp_BT[:n], mask_BT=mask_BT[:n], reference_B=reference_B), logp_BT[n:].sum(1)

    def _units(self, stats: TokenStats) -> Tensor:
        """The losses that are weighted: of samples (B,), or of all answer tokens, row by row (U,)."""
        names = {name: getattr(self.run, name) for name in OBJECTIVES[self.run.objective].fields}
        loss = loss_function(self.run.objective, level="token" if self.by_token else "sample")(stats, **names)
        return loss[stats.mask_BT] if self.by_token else loss

    def _dv(self, units_U: Tensor) -> Tensor:
        return robust.baldro_dv(units_U.detach(), dv_beta=self.run.dv_beta, dv_direction=self.run.dv_direction)

    def _backward(
        self, forget: Sequence[Sample], piece: list[int], seen: Seen, weigh: Callable[[Tensor], Tensor]
    ) -> None:
        stats, _ = self._forward([forget[i] for i in piece], [])
        units_U = self._units(stats)
        (self.gamma * self._weighted(units_U, weigh(units_U), piece, stats, seen)).backward()

    def _weighted(self, units_U: Tensor, weights_U: Tensor, piece: list[int], stats: TokenStats, seen: Seen) -> Tensor:
        """sum_u w_u l_u, weights constant; notes what each sample had."""
        weights_U = weights_U.detach().to(units_U)
        losses, per_sample = units_U, weights_U
        if self.by_token:
            empty_BT = torch.zeros_like(stats.logp_BT)
            losses = stats.mean(empty_BT.masked_scatter(stats.mask_BT, units_U.detach()))
            per_sample = empty_BT.masked_scatter(stats.mask_BT, weights_U).sum(1)
        seen.note(piece, losses, stats)
        seen.weight_B[piece] = per_sample.double().cpu()
        return (weights_U * units_U).sum()

    def _retain(self, retain: Sequence[Tokens], seen: Seen) -> None:
        mine = list(range(self.peers.rank, len(retain), self.peers.size))
        for piece in self._pieces(mine, retain):
            part = [retain[i] for i in piece]
            loss = self._retain_loss(self._forward([], part)[1], part, retain)
            seen.retain += float(loss.detach())
            (self.lam * loss).backward()

    def _retain_loss(self, logp_R: Tensor, part: Sequence[Tokens], whole: Sequence[Tokens]) -> Tensor:
        """The part's share of the whole batch's retain loss."""
        counts = torch.tensor([float(tokens.answer) for tokens in part], device=self.device)
        match self.run.retain_normalisation or "token-mean":
            case "token-mean":
                shares = torch.full_like(counts, 1 / sum(tokens.answer for tokens in whole))
            case "sample-mean":
                shares = 1 / counts / len(whole)
            case "token-sum":
                shares = torch.full_like(counts, 1 / len(whole))
        return -(shares * logp_R).sum()

    def _cut(self, retain: Sequence[Tokens], weights_B: Tensor) -> Sequence[Tokens]:
        """Released BalDRO-G: as many retain samples as forget samples are kept; the batch is in random order already."""
        return retain[: int((weights_B > 0).sum())] if self.run.g_retain == "cut" else retain

    def _pieces(self, indices: Sequence[int], sequences: Sequence[Tokens]) -> list[list[int]]:
        """Pieces of similar length, as many sequences as one forward pass takes."""
        ordered = sorted(indices, key=lambda i: -len(sequences[i].ids))
        return [ordered[at : at + self.micro_batch] for at in range(0, len(ordered), self.micro_batch)]

    def _scale(self, factor: float, seen: Seen) -> None:
        """Scale what has been accumulated: gradients and the weights in the log. Only the forget side is in there yet."""
        if factor == 1:
            return
        seen.weight_B *= factor
        for parameter in self.model.parameters():
            if parameter.grad is not None:
                parameter.grad.mul_(factor)

    def _share(self, seen: Seen) -> None:
        if self.peers.size == 1:
            return
        for name in ("loss_B", "weight_B", "nll_B"):
            setattr(seen, name, self.peers.total(getattr(seen, name)))
        seen.retain = float(self.peers.total(torch.tensor([seen.retain], dtype=torch.float64)))
        for parameter in self.model.parameters():
            if parameter.requires_grad:
                grad = parameter.grad if parameter.grad is not None else torch.zeros_like(parameter)
                parameter.grad = self.peers.total(grad)
