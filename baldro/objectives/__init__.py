"""Forget losses, one short pure function each: token statistics -> loss per sample. High = still remembered = hard to forget.

A module `baldro.objectives.{name}` holds `loss(stats, **hyperparameters) -> (B,)`, and `token_loss -> (B, T)` where the loss is a mean over
answer tokens. What the grid must know of it (its hyperparameters, whether it needs a reference) stands in `baldro.grid.methods`.

Shape legend: B samples, T answer tokens of the longest answer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from torch import Tensor

from baldro.errors import BaldroError


@dataclass(frozen=True, kw_only=True)
class TokenStats:
    """What a loss may look at: the gold answer's tokens under the policy, and its likelihood under the reference."""

    logp_BT: Tensor
    """log p(y_t | before), 0 where mask is False."""
    mask_BT: Tensor
    """True where sample b has a t-th answer token."""
    reference_B: Tensor | None = None
    """log r(y): the reference's log-probability summed over the answer."""

    @property
    def logp_B(self) -> Tensor:
        """log p(y), summed over the answer."""
        return self.logp_BT.sum(1)

    @property
    def nll_B(self) -> Tensor:
        """Mean negative log-likelihood per answer token, in nats."""
        return self.mean(-self.logp_BT)

    def mean(self, values_BT: Tensor) -> Tensor:
        """Mean over each sample's answer tokens."""
        return values_BT.masked_fill(~self.mask_BT, 0).sum(1) / self.mask_BT.sum(1)


Loss = Callable[..., Tensor]


def loss_function(name: str, *, level: str = "sample") -> Loss:
    """The loss of an objective, per sample (B,) or per token (B, T)."""
    module = import_module(f"baldro.objectives.{name}")
    function = getattr(module, "token_loss" if level == "token" else "loss", None)
    if function is None:
        raise BaldroError(f"{name} has no loss per {level}; allowed: {name} with level sample")
    return function
