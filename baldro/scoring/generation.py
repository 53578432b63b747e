"""Greedy continuations: batched by length, and a row that has finished leaves its batch.

Shape legend: B rows that still run, L positions.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from torch import nn

from baldro.models import heads
from baldro.prompts.batches import by_length
from baldro.prompts.encode import Tokens
from baldro.prompts.limits import SEQUENCES
from baldro.scoring import cache as caches

TAIL = 16
"""Tokens at the end of a row in which a stop string is looked for first."""


def ends(model: nn.Module, tokenizer: Any) -> set[int]:
    """Tokens that end a text: the tokenizer's end of sequence, and those of the model's generation config."""
    named = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    listed = named if isinstance(named, list) else [named]
    return {token for token in (tokenizer.eos_token_id, *listed) if token is not None}


def cut(text: str, stop: Sequence[str]) -> str:
    """What comes before the first stop string, without the white space around it.

    >>> cut(" Paris\\n\\nQuestion: where", ["\\nQuestion", "\\n\\n"])
    'Paris'
    """
    return text[: min((text.find(s) for s in stop if s in text), default=len(text))].strip()


def stopped(tokenizer: Any, stop: Sequence[str]) -> Callable[[Sequence[int]], bool] | None:
    """A test whether a row's tokens already settle its text up to the first stop string; None if there are no stop strings."""
    longest = max(map(len, stop), default=0)

    def settled(text: str) -> bool:  # a longer stop string that begins earlier would be complete by now, too
        first = min((text.find(s) for s in stop if s in text), default=len(text))
        return len(text) - first >= longest

    def test(ids: Sequence[int]) -> bool:
        tail = tokenizer.decode(ids[-max(TAIL, 2 * longest) :], skip_special_tokens=True)
        return settled(tail) and settled(tokenizer.decode(ids, skip_special_tokens=True))

    return test if longest else None


def batches(prompts: Sequence[Sequence[int]], *, max_new_tokens: int, batch_tokens: int) -> list[list[int]]:
    """Batches of prompts of similar length, as indices; the new tokens count as memory, since their keys and values are kept."""
    filled = [Tokens(ids=(*prompt, *[0] * max_new_tokens), start=len(prompt)) for prompt in prompts]
    return by_length(filled, tokens=batch_tokens, at_most=SEQUENCES)


@torch.inference_mode()
def generate(
    model: nn.Module,
    prompts: Sequence[Sequence[int]],
    *,
    eos: int | Collection[int],
    max_new_tokens: int,
    finished: Callable[[Sequence[int]], bool] | None = None,
) -> list[list[int]]:
    """Greedy continuations of one batch, without the end of sequence. A finished row leaves the batch: the rest is computed without it.

    Args:
        eos: token or tokens that end a row.
        finished: called with a row's new tokens; True ends the row early.
    """
    ending = {eos} if isinstance(eos, int) else set(eos)
    device = next(model.parameters()).device
    ids_BL, mask_BL, position_BL = caches.left_padded(prompts, device)
    position_B = mask_BL.sum(1)
    cache, head = caches.empty(model), heads.head(model)
    made: list[list[int]] = [[] for _ in prompts]
    alive = list(range(len(prompts)))
    for step in range(max_new_tokens):
        body = model.base_model(
            input_ids=ids_BL, attention_mask=mask_BL, position_ids=position_BL, past_key_values=cache, use_cache=True
        )
        next_B = head(body.last_hidden_state[:, -1]).argmax(-1)
        keep = []
        for b, token in enumerate(next_B.tolist()):
            if token in ending:
                continue
            row = made[alive[b]]
            row.append(token)
            if finished is None or not finished(row):
                keep.append(b)
        if not keep or step + 1 == max_new_tokens:
            break
        if len(keep) < len(alive):
            kept = torch.tensor(keep, device=device)
            cache.batch_select_indices(kept)
            next_B, mask_BL, position_B, alive = next_B[kept], mask_BL[kept], position_B[kept], [alive[b] for b in keep]
        ids_BL, position_BL = next_B[:, None], position_B[:, None]
        mask_BL = torch.cat([mask_BL, mask_BL.new_ones(len(keep), 1)], 1)
        position_B = position_B + 1
    return made
