"""The step: two halves of a batch, each weighed by itself, and their gradients combined into one update."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from baldro import combiners
from baldro.combine.forward import Forward
from baldro.combine.gradients import Gradients
from baldro.combine.memory import Memory
from baldro.combine.parts import Peers, Sample, Seen
from baldro.combine.side import Side
from baldro.combine.sides import ForgetSide, RetainSide
from baldro.data.encode import Tokens
from baldro.grid import COMBINERS, Run

PLAIN = "sum"
"""The combiner that needs no two gradients."""


class Step:
    """Accumulates one update into `.grad`.

    Args:
        micro_batch: sequences in one forward pass; a matter of memory and speed, not of the update (unless the run's robust scope is the
            micro-batch: then the run's own micro_batch_size counts for the forget half).
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
        common = dict(micro_batch=self.micro_batch, peers=self.peers)
        gamma, lam = (1.0, 1.0) if self.apart else (self.gamma, self.lam)
        one = ForgetSide(self.forward, self.run, forget, **common)
        scoped = self.run.robust_scope == "micro-batch"
        if scoped:
            one.micro_batches(gamma, self.gradients)
        else:
            one.prepare()
        two = RetainSide(self.forward, self.run, self._cut(one, retain), **common)
        two.prepare()
        sequences = len(two.mine) + sum(len(one.samples[i].sequences) for i in one.mine)
        if not scoped and not self.apart and self.peers.size == 1 and sequences <= self.micro_batch:
            self._one_pass(one, two)
        else:
            if not scoped:
                one.backward(gamma, self.gradients)
            first = self.gradients.take() if self.apart else []
            two.backward(lam, self.gradients)
            if not self.apart:
                self.gradients.share()
        one.share()
        two.share()
        if self.apart:
            self._put(one, two, first, self.gradients.take())
        seen = one.seen
        seen.retain = float((two.seen.weight_B * two.seen.loss_B).sum())
        if self.kind == "multiplier" and two.count:
            self.lam = self.combine(self.lam, seen.retain, epoch=epoch, **self.fields)
        return seen

    def _one_pass(self, one: ForgetSide, two: RetainSide) -> None:
        stats = self.forward([one.samples[i] for i in one.mine], [two.samples[i] for i in two.mine])
        losses = []
        if one.mine:
            losses.append(self.gamma * one.loss(stats[0], one.mine))
        if two.mine:
            losses.append(self.lam * two.loss(stats[1], two.mine))
        sum(losses).backward()

    def _cut(self, one: ForgetSide, retain: Sequence[Tokens]) -> Sequence[Tokens]:
        """Released BalDRO-G: as many retain samples as forget samples are kept; the batch is in random order already."""
        if self.run.g_retain != "cut":
            return retain
        if one.weights_B is not None:
            return retain[: int((one.weights_B > 0).sum())]
        kept = (one.seen.weight_B > 0).sum().double()
        return retain[: int(self.peers.total(kept.reshape(1)))]

    def _put(self, one: ForgetSide, two: RetainSide, forget: list[Tensor], retain: list[Tensor]) -> None:
        if self.kind == "update":
            update = self.combine(forget, retain, gamma=self.gamma, lam=self.lam, **self.fields)
        else:
            _, *along = self.combine(forget, retain, **self.fields)
            update = self._curved((one, two), along)
            for own, plain in zip(update, retain, strict=True):
                own.mul_(self.gamma).add_(plain, alpha=self.lam)
        self.gradients.put(update)

    def _curved(self, sides: Sequence[Side], along: Sequence[list[Tensor]]) -> list[Tensor]:
        """Sum of Hessian-vector products: each half's Hessian times a vector, by a second derivative of each piece's loss."""
        parameters = self.gradients.parameters
        with sdpa_kernel(SDPBackend.MATH):  # the faster kernels of attention have no second derivative
            for side, vector in zip(sides, along, strict=True):
                for piece in side.pieces(side.mine):
                    loss = side.loss(side.stats(piece), piece)
                    first = torch.autograd.grad(loss, parameters, create_graph=True, materialize_grads=True)
                    sum((g * v.to(g)).sum() for g, v in zip(first, vector, strict=True)).backward()
                    self.gradients.collect()
        return self.gradients.take()
