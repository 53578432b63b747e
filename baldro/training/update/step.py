"""The step: two halves of a batch, each weighed by itself, and their gradients combined into one update."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from baldro.methods import combiners
from baldro.models import packing, twice_differentiable
from baldro.prompts.encode import Tokens
from baldro.runs import COMBINERS, Run
from baldro.training.update.forward import Forward
from baldro.training.update.gradients import Gradients
from baldro.training.update.parts import DeviceGroup, Sample, StepLog
from baldro.training.update.reference import ReferenceCache
from baldro.training.update.scopes import Scope, gathered, scopes

PLAIN = "sum"
"""The combiner for which one accumulated gradient is enough."""


class Step:
    """Computes one update and leaves it in `.grad`.

    Args:
        micro_batch: sequences in one forward pass; a matter of memory and speed, not of the update (where the run's robust scope is the
            micro-batch, that is one of the run's own micro_batch_size samples of either half).
        autocast: makes the context of a forward pass.
        cache: what the losses compare with (`cache_reference`).
    """

    def __init__(
        self,
        model: nn.Module,
        run: Run,
        *,
        micro_batch: int,
        devices: DeviceGroup | None = None,
        autocast: Callable[[], AbstractContextManager] = nullcontext,
        cache: ReferenceCache | None = None,
    ):
        packing.prepare(model)
        self.run, self.micro_batch, self.devices = run, micro_batch, devices or DeviceGroup()
        self.forward = Forward(model, run, cache=cache or ReferenceCache(), autocast=autocast)
        self.gamma = 1.0 if run.forget_weight is None else run.forget_weight
        self.lam = 1.0 if run.retain_weight is None else run.retain_weight
        name = run.combiner or PLAIN
        self.kind, self.combine = combiners.function(name)
        self.fields = {field: getattr(run, field) for field in COMBINERS[name].fields}
        self.apart = name != PLAIN and self.kind in ("update", "penalty")
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.gradients = Gradients(trained, devices=self.devices, apart=self.apart)

    def state_dict(self) -> dict[str, float]:
        """State that the next step takes over from this one: the retain weight."""
        return {"lam": self.lam}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Continue from a `state_dict`."""
        self.lam = state["lam"]

    def accumulate(self, forget: Sequence[Sample], retain: Sequence[Tokens], *, epoch: float = 0.0) -> StepLog:
        """Leave the update, summed over devices, in `.grad`, which must be empty before. Either batch may be empty.

        With the plain sum that is gamma * g_forget + lambda * g_retain; other combiners need both batches.

        Args:
            epoch: passes over the forget split before this step, for a retain weight that moves.
        """
        gamma, lam = (1.0, 1.0) if self.apart else (self.gamma, self.lam)
        parts = scopes(self.forward, self.run, forget, retain, micro_batch=self.micro_batch, devices=self.devices)
        for part in parts:
            if not self.apart and part.forget.devices.size == 1 and part.sequences <= self.micro_batch:
                self._one_pass(part)
                continue
            part.forget.backward(gamma * part.shares[0], self.gradients)
            if not self.apart:
                part.retain.backward(lam * part.shares[1], self.gradients)
        if self.apart:
            first = self.gradients.take()
            for part in parts:
                part.retain.backward(part.shares[1], self.gradients)
        else:
            self.gradients.share()
        for part in parts:
            part.share()
        if self.apart:
            self._put(parts, first, self.gradients.take())
        log = gathered(parts, self.run, len(forget), self.devices)
        if self.kind == "multiplier" and retain:
            self.lam = self.combine(self.lam, log.retain, epoch=epoch, **self.fields)
        return log

    def _one_pass(self, part: Scope) -> None:
        forget, retain = part.forget, part.retain
        samples = [[half.samples[i] for i in half.mine] for half in (forget, retain)]
        stats = self.forward(*samples, widths=(forget.width, retain.width))
        losses = []
        if forget.mine:
            losses.append(self.gamma * part.shares[0] * forget.loss(stats[0], forget.mine))
        if retain.mine:
            losses.append(self.lam * part.shares[1] * retain.loss(stats[1], retain.mine))
        sum(losses).backward()

    def _put(self, parts: Sequence[Scope], forget: list[Tensor], retain: list[Tensor]) -> None:
        if self.kind == "update":
            with combiners.summed(self.devices.total if self.devices.split else None):
                update = self.combine(forget, retain, gamma=self.gamma, lam=self.lam, **self.fields)
        else:
            _, *along = self.combine(forget, retain, **self.fields)
            update = self._hessian_vector_products(parts, along)
            for own, plain in zip(update, retain, strict=True):
                own.mul_(self.gamma).add_(plain, alpha=self.lam)
        self.gradients.put(update)

    def _hessian_vector_products(self, parts: Sequence[Scope], along: Sequence[list[Tensor]]) -> list[Tensor]:
        """Sum of Hessian-vector products: each half's Hessian times a vector, by a second derivative of each piece's loss."""
        parameters = self.gradients.parameters
        with twice_differentiable():
            halves = [
                (half, share, vector)
                for part in parts
                for half, share, vector in zip((part.forget, part.retain), part.shares, along, strict=True)
            ]
            for half, share, vector in halves:
                for piece in half.pieces(half.mine):
                    loss = share * half.loss(half.stats(piece), piece)
                    first = torch.autograd.grad(loss, parameters, create_graph=True, materialize_grads=True)
                    sum((g * v.to(g)).sum() for g, v in zip(first, vector, strict=True)).backward()
                    self.gradients.collect()
        return self.gradients.take()
