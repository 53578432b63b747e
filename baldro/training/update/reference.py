"""The reference cache: hidden states and output head of the model before its first step, where a loss compares with them.

No second model is held. Hidden states take H numbers an answer token, in the memory of the node, and give the reference's logits through
a copy of the output head (V x H), on the device. They are taken by one forward pass over what the run will draw, which for a 7B model is
as fast as reading them from a disk; per-token log-probabilities, which are small, come from a file (`baldro reference`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from baldro.models import activations_behind, heads, hidden_and_targets
from baldro.prompts.batches import by_length, collate
from baldro.prompts.encode import Tokens
from baldro.runs import Run


@dataclass(frozen=True, kw_only=True)
class ReferenceCache:
    """Hidden states and output head of the reference; entries that no loss of the run needs are empty."""

    head: heads.Head | None = None
    """Hidden states -> logits of the reference."""
    hidden: dict[Tokens, Tensor] = field(default_factory=dict)
    """Sequence -> hidden states that predict its answer tokens, (T, H), in the node's memory."""
    activation: dict[Tokens, Tensor] = field(default_factory=dict)
    """Sequence -> hidden states behind the run's layer at its answer tokens, (T, H), in the node's memory."""


@torch.no_grad()
def cache_reference(
    model: nn.Module,
    run: Run,
    *,
    forget: Sequence[Tokens],
    retain: Sequence[Tokens],
    tokens: int = 16384,
    autocast: Callable = torch.no_grad,
) -> ReferenceCache:
    """Fill the reference cache of a run with the model as it is now.

    Args:
        forget, retain: the sequences that the run will see.
        tokens: padded tokens in one forward pass.
        autocast: makes the context of a forward pass.
    """
    by_head = list(forget) if "reference_logits" in run.method.needs else []
    by_head += list(retain) if run.retain_loss == "kl" else []
    by_layer = list(retain) if run.retain_loss == "activations" else []
    found = ReferenceCache(head=heads.frozen(model) if by_head else None)
    training = model.training
    model.eval()
    device = next(model.parameters()).device
    for sequences, kept, layer in ((by_head, found.hidden, None), (by_layer, found.activation, run.rmu_layer)):
        distinct = list(dict.fromkeys(sequences))
        for rows in by_length(distinct, tokens=tokens):
            some = [distinct[i] for i in rows]
            with autocast():
                batch = collate(some, device)
                with activations_behind(model, layer) as behind:
                    hidden_NH, _, _ = hidden_and_targets(model, batch)
            values_NH = hidden_NH if layer is None else behind[0][batch.answer_BL]
            kept |= zip(some, values_NH.cpu().split([s.answer for s in some]), strict=True)
    model.train(training)
    return found
