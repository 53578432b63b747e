"""The step: two halves of a batch, each weighed by itself, and their gradients combined into one update."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from baldro.methods import combiners
from baldro.prompts.encode import Tokens
from baldro.runs import COMBINERS, Run
from baldro.training.update.forward import Forward
from baldro.training.update.gradients import Gradients
from baldro.training.update.memory import Memory
from baldro.training.update.parts import Peers, Sample, Seen
from baldro.training.update.scopes import Scope, gathered, scopes

PLAIN = "sum"
"""The combiner that needs no two gradients."""


class Step:
    """Accumulates one update into `.grad`.

    Args:
        micro_batch: sequences in one forward pass; a matter of memory and speed, not of the update (where the run's robust scope is the
            micro-batch, that is one of the run's own micro_batch_size samples of either half).
        autocast: makes the context of a forward pass.
        memory: what the losses compare with (`remember`).
    """

    def __init__(
        self,
        model: nn.Module,
        run: Run,
        *,
        micro_batch: int,
        peers: Peers | None = None,
        autocast: Callable[[], AbstractContextManager] = nullcontext,
        memory: Memory | None = None,
    ):
        self.run, self.micro_batch, self.peers = run, micro_batch, peers or Peers()
        self.forward = Forward(model, run, memory=memory or Memory(), autocast=autocast)
        self.gamma = 1.0 if run.forget_weight is None else run.forget_weight
        self.lam = 1.0 if run.retain_weight is None else run.retain_weight
        name = run.combiner or PLAIN
        self.kind, self.combine = combiners.function(name)
        self.fields = {field: getattr(run, field) for field in COMBINERS[name].fields}
        self.apart = name != PLAIN and self.kind in ("update", "penalty")
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.gradients = Gradients(trained, peers=self.peers, apart=self.apart)

    def state_dict(self) -> dict[str, float]:
        """What the next step takes over from this one."""
        return {"lam": self.lam}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Go on from `state_dict`."""
        self.lam = state["lam"]

    def accumulate(self, forget: Sequence[Sample], retain: Sequence[Tokens], *, epoch: float = 0.0) -> Seen:
        """Leaves the update, summed over devices, in `.grad`, which must be empty before. Either batch may be empty.

        With the plain sum that is gamma * g_forget + lambda * g_retain; other combiners need both batches.

        Args:
            epoch: passes over the forget split before this step, for a retain weight that moves.
        """
        gamma, lam = (1.0, 1.0) if self.apart else (self.gamma, self.lam)
        parts = scopes(self.forward, self.run, forget, retain, micro_batch=self.micro_batch, peers=self.peers)
        for part in parts:
            if not self.apart and part.one.peers.size == 1 and part.sequences <= self.micro_batch:
                self._one_pass(part)
                continue
            part.one.backward(gamma * part.shares[0], self.gradients)
            if not self.apart:
                part.two.backward(lam * part.shares[1], self.gradients)
        if self.apart:
            first = self.gradients.take()
            for part in parts:
                part.two.backward(part.shares[1], self.gradients)
        else:
            self.gradients.share()
        for part in parts:
            part.share()
        if self.apart:
            self._put(parts, first, self.gradients.take())
        seen = gathered(parts, self.run, len(forget), self.peers)
        if self.kind == "multiplier" and retain:
            self.lam = self.combine(self.lam, seen.retain, epoch=epoch, **self.fields)
        return seen

    def _one_pass(self, part: Scope) -> None:
        one, two = part.one, part.two
        stats = self.forward([one.samples[i] for i in one.mine], [two.samples[i] for i in two.mine])
        losses = []
        if one.mine:
            losses.append(self.gamma * part.shares[0] * one.loss(stats[0], one.mine))
        if two.mine:
            losses.append(self.lam * part.shares[1] * two.loss(stats[1], two.mine))
        sum(losses).backward()

    def _put(self, parts: Sequence[Scope], forget: list[Tensor], retain: list[Tensor]) -> None:
        if self.kind == "update":
            update = self.combine(forget, retain, gamma=self.gamma, lam=self.lam, **self.fields)
        else:
            _, *along = self.combine(forget, retain, **self.fields)
            update = self._curved(parts, along)
            for own, plain in zip(update, retain, strict=True):
                own.mul_(self.gamma).add_(plain, alpha=self.lam)
        self.gradients.put(update)

    def _curved(self, parts: Sequence[Scope], along: Sequence[list[Tensor]]) -> list[Tensor]:
        """Sum of Hessian-vector products: each half's Hessian times a vector, by a second derivative of each piece's loss."""
        parameters = self.gradients.parameters
        with sdpa_kernel(SDPBackend.MATH):  # the faster kernels of attention have no second derivative
            halves = [
                (side, share, vector)
                for part in parts
                for side, share, vector in zip((part.one, part.two), part.shares, along, strict=True)
            ]
            for side, share, vector in halves:
                for piece in side.pieces(side.mine):
                    loss = share * side.loss(side.stats(piece), piece)
                    first = torch.autograd.grad(loss, parameters, create_graph=True, materialize_grads=True)
                    sum((g * v.to(g)).sum() for g, v in zip(first, vector, strict=True)).backward()
                    self.gradients.collect()
        return self.gradients.take()
