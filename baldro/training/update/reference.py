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
from baldro.prompts.batches import Batch, by_length, collate, collate_left
from baldro.prompts.encode import Tokens
from baldro.runs import Run


@dataclass(frozen=True, kw_only=True)
class ReferenceCache:
    """Hidden states and output head of the reference; entries that no loss of the run needs are empty."""

    head: heads.Head | None = None
    """Hidden states -> logits of the reference."""
    hidden: dict[Tokens, Tensor] = field(default_factory=dict)
    """Sequence -> hidden states that predict its answer tokens, (T, H), in the node's memory."""
    activation: dict[tuple[Tokens, int | None], Tensor] = field(default_factory=dict)
    """(sequence, None) -> hidden states behind the run's layer at its answer tokens, (T, H), in the node's memory; (sequence, width) ->
    at all positions of the sequence when it is padded to so many."""


@torch.no_grad()
def cache_reference(
    model: nn.Module,
    run: Run,
    *,
    forget: Sequence[Tokens],
    retain: Sequence[Tokens],
    widths: Sequence[int | None] | None = None,
    tokens: int = 16384,
    autocast: Callable = torch.no_grad,
) -> ReferenceCache:
    """Fill the reference cache of a run with the model as it is now.

    Args:
        forget, retain: the sequences that the run will see.
        widths: of each retain sequence, the positions of the retain batch that has it, where activations are taken at all of them; by
            default at answer tokens alone.
        tokens: padded tokens in one forward pass.
        autocast: makes the context of a forward pass.
    """
    by_head = list(forget) if "reference_logits" in run.method.needs else []
    by_head += list(retain) if run.retain_loss == "kl" else []
    found = ReferenceCache(head=heads.frozen(model) if by_head else None)
    wanted: list[tuple[list[Tokens], int | None, bool]] = [(by_head, None, True)]
    if run.retain_loss == "activations":
        widths = widths or [None] * len(retain)
        by_width = {width: [t for t, own in zip(retain, widths, strict=True) if own == width] for width in widths}
        wanted += [(sequences, width, False) for width, sequences in by_width.items()]
    training = model.training
    model.eval()
    for sequences, width, at_head in wanted:
        distinct = list(dict.fromkeys(sequences))
        for rows in by_length(distinct, tokens=tokens, at_most=max(1, tokens // width) if width else None):
            some = [distinct[i] for i in rows]
            with autocast():
                batch = batched(model, some, width)
                with activations_behind(model, None if at_head else run.rmu_layer) as behind:
                    hidden_NH, _, _ = hidden_and_targets(model, batch, whole=not at_head)
            values_NH = (
                hidden_NH if at_head else behind[0][batch.answer_BL] if width is None else behind[0].flatten(0, 1)
            )
            counts = [s.answer if width is None else width for s in some]
            keys = some if at_head else [(s, width) for s in some]
            (found.hidden if at_head else found.activation).update(
                zip(keys, values_NH.cpu().split(counts), strict=True)
            )
    model.train(training)
    return found


def batched(model: nn.Module, sequences: Sequence[Tokens], width: int | None) -> Batch:
    """Sequences on the model's device: padded on the right, or to `width` on the left, by the end of sequence (released RMU)."""
    device = next(model.parameters()).device
    if width is None:
        return collate(sequences, device)
    ends = model.config.eos_token_id
    return collate_left(sequences, device, width=width, filling=(ends[0] if isinstance(ends, list) else ends) or 0)
