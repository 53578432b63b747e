"""One forward pass over forget samples, their other answers and retain samples -> the inputs of the losses.

Shape legend: B samples, L positions, T answer tokens of the longest answer, N answer tokens of all samples, H width.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from baldro.methods.objectives import TokenStats
from baldro.models import activations_behind, heads, hidden_and_targets
from baldro.prompts.encode import Tokens
from baldro.runs import Run
from baldro.training.update.parts import Sample
from baldro.training.update.reference import ReferenceCache, batched


class Forward:
    """The model of a run, and the reference that its losses need.

    Args:
        autocast: makes the context of a forward pass.
    """

    def __init__(
        self, model: nn.Module, run: Run, *, cache: ReferenceCache, autocast: Callable[[], AbstractContextManager]
    ):
        self.model, self.run, self.cache, self.autocast = model, run, cache, autocast
        self.device = next(model.parameters()).device

    def __call__(
        self, forget: Sequence[Sample], retain: Sequence[Tokens], *, widths: tuple[int, int]
    ) -> tuple[TokenStats | None, TokenStats | None]:
        """Token statistics of the forget samples and of the retain samples; None for an empty half.

        Args:
            widths: positions of the longest sample of each half, of which these may be a part.
        """
        if self.run.rmu_positions != "padded":
            return self._pass(forget, retain)
        return (  # each half is padded by itself
            self._pass(forget, [], widths[0])[0] if forget else None,
            self._pass([], retain, widths[1])[1] if retain else None,
        )

    def _pass(
        self, forget: Sequence[Sample], retain: Sequence[Tokens], width: int | None = None
    ) -> tuple[TokenStats | None, TokenStats | None]:
        """One forward pass.

        Args:
            width: positions to which sequences are padded on the left, and all of which have activations; None: as many as they need.
        """
        others = [s.alternate for s in forget if s.alternate is not None]
        groups = [[s.tokens for s in forget], others, list(retain)]
        batch = batched(self.model, [tokens for group in groups for tokens in group], width)
        with self.autocast(), activations_behind(self.model, self.run.rmu_layer) as behind:
            hidden_NH, target_N, _ = hidden_and_targets(self.model, batch, whole=self.run.rmu_layer is not None)
        found, row, at = [], 0, 0
        for group in groups:
            counts = [tokens.answer for tokens in group]
            rows, tokens = slice(row, row + len(group)), slice(at, at + sum(counts))
            row, at = rows.stop, tokens.stop
            active = behind[0][rows] if behind else None
            if behind and width is None:
                active = active[batch.answer_BL[rows]]
            found.append((counts, hidden_NH[tokens], target_N[tokens], active))
        alternate, topics = None, [s.topic for s in forget]
        if others:
            alternate = self._stats(found[1], groups[1], [s.alternate_reference for s in forget])
        return (
            self._stats(found[0], groups[0], [s.reference for s in forget], alternate, width, topics)
            if forget
            else None,
            self._stats(found[2], groups[2], [None], width=width) if retain else None,
        )

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """A block without gradients and without dropout, so that which samples are hard does not depend on a draw."""
        training = self.model.training
        self.model.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            self.model.train(training)

    def _stats(
        self,
        found,
        sequences: Sequence[Tokens],
        references,
        alternate: TokenStats | None = None,
        width: int | None = None,
        topics: Sequence[int] = (),
    ) -> TokenStats:
        counts, hidden_NH, target_N, active_NH = found
        longest = torch.arange(max(counts), device=self.device)
        mask_BT = longest < torch.tensor(counts, device=self.device)[:, None]
        return TokenStats(
            mask_BT=mask_BT,
            hidden_NH=hidden_NH,
            target_N=target_N,
            head=_Head(heads.head(self.model), self.autocast),
            reference_BT=None if references[0] is None else self._padded(references, mask_BT, hidden_NH),
            reference_hidden_NH=self._cached(self.cache.hidden, sequences),
            reference_head=self.cache.head and _Head(self.cache.head, self.autocast),
            activation_BTH=None if active_NH is None else active_NH if width else _rows(active_NH, mask_BT),
            reference_activation_BTH=self._activations(sequences, mask_BT, width),
            padded=width is not None,
            alternate=alternate,
            topics=topics,
            seed=self.run.seed,
        )

    def _padded(self, references: Sequence[Sequence[float]], mask_BT: Tensor, hidden_NH: Tensor) -> Tensor:
        """The reference's log-probabilities as (B, T), in float32, or in float64 if the model is."""
        values_N = torch.tensor([x for row in references for x in row], dtype=torch.float64, device=self.device)
        return _rows(values_N if hidden_NH.dtype == torch.float64 else values_N.float(), mask_BT)

    def _activations(self, sequences: Sequence[Tokens], mask_BT: Tensor, width: int | None) -> Tensor | None:
        """The reference's hidden states behind the run's layer, at the positions of the policy's."""
        values_NH = self._cached(self.cache.activation, [(tokens, width) for tokens in sequences])
        if values_NH is None:
            return None
        return _rows(values_NH, mask_BT) if width is None else values_NH.unflatten(0, (-1, width))

    def _cached(self, kept: Mapping[Any, Tensor], keys: Sequence[Any]) -> Tensor | None:
        if not keys or any(key not in kept for key in keys):  # a loss that needs it will say so
            return None
        return torch.cat([kept[key] for key in keys]).to(self.device)


class _Head:
    """An output head that computes as the forward pass does, whenever a loss asks for logits."""

    def __init__(self, head: heads.Head, autocast: Callable[[], AbstractContextManager]):
        self.head, self.autocast, self.out_features = head, autocast, head.out_features

    def __call__(self, hidden_NH: Tensor) -> Tensor:
        with self.autocast():
            return self.head(hidden_NH)


def _rows(values_N: Tensor, mask_BT: Tensor) -> Tensor:
    """(N, ...) -> (B, T, ...), 0 where mask is False."""
    filled = values_N.new_zeros(*mask_BT.shape, *values_N.shape[1:])
    filled[mask_BT] = values_N
    return filled
