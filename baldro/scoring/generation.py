"""Greedy continuations, and what ends them."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

from torch import nn

from baldro.scoring.decoder import Decoder
from baldro.scoring.drafts import Row

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


def generate(
    model: nn.Module,
    prompts: Sequence[Sequence[int]],
    *,
    eos: int | Collection[int],
    max_new_tokens: int,
    finished: Callable[[Sequence[int]], bool] | None = None,
    gold: Sequence[Sequence[int]] | None = None,
    batch_tokens: int = 2**62,
) -> list[list[int]]:
    """Greedy continuations, without the end of sequence; arguments as of `Decoder`, `gold` a right answer of each prompt."""
    decoder = Decoder(model, eos=eos, max_new_tokens=max_new_tokens, finished=finished, drafts=gold is not None)
    rows = [Row(prompt, answer) for prompt, answer in zip(prompts, gold or [()] * len(prompts), strict=True)]
    for _ in decoder(rows, batch_tokens=batch_tokens):
        pass
    return [row.said for row in rows]
