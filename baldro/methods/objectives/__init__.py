"""Forget losses, a module each, one short pure function each: token statistics -> loss. High = still remembered = hard to forget.

The function is `token_loss(stats, *, hyperparameters) -> (B, T)` where a sample's loss is the mean over its answer tokens, else
`loss(stats, *, hyperparameters) -> (B,)`. Its decorator declares what else the grid must know; the grid reads it from the source
(`baldro.methods.declared`). A module here is an objective everywhere, and no other file names it.

Shape legend: B samples, T answer tokens of the longest answer, N answer tokens of all samples, H width, V vocabulary.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from importlib import import_module
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from baldro.errors import BaldroError
from baldro.models import through_head

Loss = Callable[..., Tensor]


def objective(
    *, label: str, needs: tuple[str, ...] = (), defaults: dict[str, Any] | None = None, retains: bool = True
) -> Callable[[Loss], Loss]:
    """Mark a module's forget loss, and declare what its signature does not show.

    Args:
        label: its name in tables.
        needs: of the model before unlearning, `reference` (log-probabilities of the answers), `reference_logits`, `activations` (hidden
            states behind layer `rmu_layer`); other answers to the same question, `idk` (made here) or `alternates` (given as data).
        defaults: usual values of fields that are not its own, e.g. forget_weight.
        retains: False if no retain loss is added.
    """
    return lambda function: function


class TokenStats:
    """The inputs of a loss: the gold answer's tokens under the policy, and what the loss `needs` beside them.

    Args:
        mask_BT: True where sample b has a t-th answer token.
        logp_BT: log p(y_t | before), 0 where mask is False; if it is not given, it is taken from hidden states, head and targets.
        hidden_NH, target_N: what predicts each answer token and its id, sample after sample.
        head: hidden states -> logits.
        reference_BT: log r(y_t | before) of the reference, 0 where mask is False.
        reference_hidden_NH, reference_head: the reference's, as the policy's.
        activation_BTH, reference_activation_BTH: hidden states behind the run's layer, at the answer tokens.
        padded: those are at all positions of the padded batch instead, (B, L, H).
        alternate: token statistics of the other answers, sample by sample.
        topics: number of each sample's topic; all 0 by default.
        seed: of random draws that a run makes once.
    """

    def __init__(
        self,
        *,
        mask_BT: Tensor,
        logp_BT: Tensor | None = None,
        hidden_NH: Tensor | None = None,
        target_N: Tensor | None = None,
        head: Callable[[Tensor], Tensor] | None = None,
        reference_BT: Tensor | None = None,
        reference_hidden_NH: Tensor | None = None,
        reference_head: Callable[[Tensor], Tensor] | None = None,
        activation_BTH: Tensor | None = None,
        reference_activation_BTH: Tensor | None = None,
        alternate: "TokenStats | None" = None,
        padded: bool = False,
        topics: Sequence[int] = (),
        seed: int = 0,
    ):
        self.mask_BT, self.hidden_NH, self.target_N, self.head, self.seed = mask_BT, hidden_NH, target_N, head, seed
        self._logp_BT, self._logp_N = logp_BT, None
        self._reference_BT, self._alternate = reference_BT, alternate
        self._reference_hidden_NH, self._reference_head = reference_hidden_NH, reference_head
        self._activation_BTH, self._reference_activation_BTH = activation_BTH, reference_activation_BTH
        self.padded, self.topics = padded, list(topics) or [0] * len(mask_BT)

    # Likelihood ------------------------------------------------------------------------------------------------------

    @cached_property
    def logp_BT(self) -> Tensor:
        """log p(y_t | before), in float32 at least; 0 where mask is False."""
        return self._logp_BT if self._logp_BT is not None else self.of_logits(_logp)

    @property
    def logp_B(self) -> Tensor:
        """log p(y), summed over the answer."""
        return self.logp_BT.masked_fill(~self.mask_BT, 0).sum(1)

    @property
    def nll_B(self) -> Tensor:
        """Mean negative log-likelihood per answer token, in nats."""
        return self.mean(-self.logp_BT)

    @torch.no_grad()
    def detached_nll_B(self) -> Tensor:
        """nll_B without gradients, for the log; from log-probabilities that are there already, if any are."""
        if "logp_BT" in self.__dict__ or self._logp_BT is not None:
            return self.nll_B
        if self._logp_N is None:
            self.of_logits(_logp)  # not logp_BT, which would be kept, and without its gradient
        return self.mean(-self._rows(self._logp_N))

    def mean(self, values_BT: Tensor) -> Tensor:
        """Mean over each sample's answer tokens."""
        return values_BT.masked_fill(~self.mask_BT, 0).sum(1) / self.mask_BT.sum(1)

    def of_logits(self, function: Callable[..., Tensor], *, reference: bool = False) -> Tensor:
        """Compute one number from each answer token's logits; no more logits are kept than fit (baldro.models).

        Args:
            function: (logits_NV in float32, target_N) -> (N,); with `reference` (logits_NV, target_N, reference_logits_NV), of which the
                last has no gradient. Rows are independent: it is called on some of them at a time.

        Returns: (B, T), 0 where mask is False.

        Raises:
            BaldroError: the reference's logits were not given.
        """
        is_logp = function is _logp

        def both(logits_NV: Tensor, target_N: Tensor, *reference_NV: Tensor) -> Tensor:
            values_N = function(logits_NV, target_N, *reference_NV)
            logp_N = values_N if is_logp else _logp(logits_NV.detach(), target_N)
            return torch.stack([values_N, logp_N.detach().to(values_N)], 1)

        wanted = (self._reference_head, self._reference_hidden_NH) if reference else ()
        other = [self._of_reference(one, "reference_logits") for one in wanted]
        values_N2 = through_head(both, self.head, self.hidden_NH, self.target_N, *other)
        self._logp_N = values_N2[:, 1].detach()
        return self._rows(values_N2[:, 0])

    # The reference, other answers ------------------------------------------------------------------------------------

    @property
    def reference_BT(self) -> Tensor:
        """log r(y_t | before) under the reference; 0 where mask is False."""
        return self._of_reference(self._reference_BT, "reference")

    @property
    def reference_B(self) -> Tensor:
        """log r(y), summed over the answer."""
        return self.reference_BT.masked_fill(~self.mask_BT, 0).sum(1)

    @property
    def activation_BTH(self) -> Tensor:
        """Hidden states behind the run's layer, at the answer tokens, or at all positions."""
        return self._of_reference(self._activation_BTH, "activations")

    @property
    def reference_activation_BTH(self) -> Tensor:
        """The reference's hidden states behind that layer, at the answer tokens, or at all positions."""
        return self._of_reference(self._reference_activation_BTH, "activations")

    def at_answers(self, values_BT: Tensor) -> Tensor:
        """Values at the positions of `activation_BTH` as a loss of each answer token (B, T), 0 where mask is False.

        Where these are all positions of the padded batch, each answer token has its sample's mean over them.
        """
        values_BT = values_BT.mean(1, keepdim=True).expand(self.mask_BT.shape) if self.padded else values_BT
        return values_BT.masked_fill(~self.mask_BT, 0)

    @property
    def alternate(self) -> "TokenStats":
        """Token statistics of the other answer to each sample's question."""
        return self._of_reference(self._alternate, "idk or alternates")

    def _of_reference(self, value: Any, need: str) -> Any:
        if value is None:
            raise BaldroError(
                "undeclared-need", f"a loss uses what was not given; allowed: a decorator with {need} among its needs"
            )
        return value

    def _rows(self, values_N: Tensor) -> Tensor:
        return values_N.new_zeros(self.mask_BT.shape).masked_scatter(self.mask_BT, values_N)


def _logp(logits_NV: Tensor, target_N: Tensor) -> Tensor:
    return -F.cross_entropy(logits_NV, target_N, reduction="none")


def loss_function(name: str, *, level: str = "sample") -> Loss:
    """The loss function of an objective.

    Args:
        level: sample, for losses (B,), or token, for losses (B, T).

    Raises:
        BaldroError: the objective has no loss per token.
    """
    module = import_module(f"baldro.methods.objectives.{name.replace('-', '_')}")
    token_loss = getattr(module, "token_loss", None)
    if level == "token":
        if token_loss is None:
            raise BaldroError("no-token-loss", f"{name} has no loss per token; allowed: {name} with level sample")
        return token_loss
    if token_loss is None:
        return module.loss
    return lambda stats, **fields: stats.mean(token_loss(stats, **fields))


__all__ = ["Loss", "TokenStats", "loss_function", "objective"]
