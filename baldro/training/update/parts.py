"""The inputs of a step, the devices that share it, and its log.

Shape legend: B samples of the effective batch, T answer tokens.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from baldro.methods.objectives import TokenStats
from baldro.prompts.encode import Tokens


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A forget sample, and what the objective needs beside its tokens."""

    tokens: Tokens
    reference: Sequence[float] | None = None
    """log r of each answer token, the end of sequence included, where the objective needs the reference."""
    alternate: Tokens | None = None
    """The question with another answer, where the objective needs one."""
    alternate_reference: Sequence[float] | None = None
    """log r of each token of the other answer."""
    topic: int = 0
    """Number of its topic, where topics alternate."""

    @property
    def sequences(self) -> tuple[Tokens, ...]:
        """The sequences that go through the model."""
        return (self.tokens,) if self.alternate is None else (self.tokens, self.alternate)


@dataclass(frozen=True, kw_only=True)
class DeviceGroup:
    """The devices that share a step. Each knows the whole batch and computes every `size`-th sample."""

    rank: int = 0
    size: int = 1
    total: Callable[[Tensor], Tensor] = lambda tensor: tensor
    """Sum of a tensor over all devices."""
    split: bool = False
    """Whether each holds a share of the model alone (`baldro.training.shards`): then every forward and backward pass is one of all."""

    def largest(self, value: float) -> float:
        """Maximum of a number over all devices."""
        slots = torch.zeros(self.size, dtype=torch.float64)
        slots[self.rank] = value
        return float(self.total(slots).max()) if self.size > 1 else value

    def share(self, count: int) -> list[int]:
        """Positions of this device's samples among `count`."""
        return list(range(self.rank, count, self.size))


class StepLog:
    """The log of a step: losses, weights and mean negative log-likelihoods of one half's samples, in their order, (B,) in float64."""

    def __init__(self, count: int):
        self.loss_B, self.weight_B, self.nll_B = torch.zeros(3, count, dtype=torch.float64)
        self.retain = 0.0
        """Retain loss before its weight."""

    def note(self, indices: Sequence[int], losses: Tensor, stats: TokenStats) -> None:
        """Record the losses and likelihoods of some samples."""
        self.loss_B[indices] = losses.detach().double().cpu()
        self.nll_B[indices] = stats.detached_nll_B().double().cpu()

    def forget(self, indices: Sequence[int]) -> None:
        """Drop the records of samples that another device takes on."""
        for values_B in (self.loss_B, self.weight_B, self.nll_B):
            values_B[list(indices)] = 0

    def share(self, devices: DeviceGroup) -> None:
        """Exchange records, so that every device has those of all samples."""
        if devices.size > 1:
            for name in ("loss_B", "weight_B", "nll_B"):
                setattr(self, name, devices.total(getattr(self, name)))
