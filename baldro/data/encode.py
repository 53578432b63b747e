"""Question and answer -> token ids, and which of them are the answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from baldro.errors import BaldroError

CHAT = "chat"
PROBE = "\u241f"
"""Stands in for the answer to find its place: an answer may occur in the template's own marks (`end` in <|end|>)."""


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """One sequence: prompt, answer, end of sequence."""

    ids: tuple[int, ...]
    """All token ids."""
    start: int
    """Position of the first answer token; the answer and the end of sequence are ids[start:]."""

    @property
    def answer(self) -> int:
        """Number of answer tokens, the end of sequence included."""
        return len(self.ids) - self.start


def render(tokenizer: Any, prompt: str, question: str, answer: str) -> tuple[str, str]:
    """Text before the answer, and the answer as it stands in the sequence.

    Args:
        prompt: text with {question} in it, or `chat` for the tokenizer's chat template.

    Raises:
        BaldroError: a chat template that drops the question or the answer (a "thinking" template may), or changes it.
    """
    if prompt != CHAT:
        if "{question}" not in prompt:
            raise BaldroError(f"prompt {prompt!r} lacks {{question}}; allowed: text with {{question}} in it, or chat")
        return prompt.replace("{question}", question), answer
    if not getattr(tokenizer, "chat_template", None):
        raise BaldroError("prompt is chat, but the tokenizer has no chat template; allowed: text with {question} in it")
    user = {"role": "user", "content": question}
    asked = tokenizer.apply_chat_template([user], tokenize=False, add_generation_prompt=True)
    whole, probe = (
        tokenizer.apply_chat_template([user, {"role": "assistant", "content": text}], tokenize=False)
        for text in (answer, PROBE)
    )
    at = probe.rfind(PROBE)
    at += len(whole[at:]) - len(whole[at:].lstrip())
    if at < len(asked) or not whole.startswith(asked) or not whole.startswith(answer.strip(), at):
        raise BaldroError(
            f"the chat template eats or changes the answer {answer!r}: it renders {whole!r}; allowed: a template that keeps it, or a prompt"
        )
    if question.strip() not in asked:
        raise BaldroError(
            f"the chat template eats the question {question!r}: it renders {asked!r}; allowed: a template that keeps it, or a prompt"
        )
    return whole[:at], answer.strip()


def encode(tokenizer: Any, prompt: str, pairs: Sequence[tuple[str, str]], *, longest: int) -> list[Tokens]:
    """Token ids of each (question, answer), tokenised as one text so that no merge at the seam is lost.

    A token belongs to the answer if it ends behind the prompt's last character; the end-of-sequence token follows the answer.

    Args:
        longest: positions that the model has; a longer sequence is an error, nothing is cut.
    """
    if tokenizer.eos_token_id is None:
        raise BaldroError(
            "the tokenizer has no end-of-sequence token; allowed: one that has, since it ends every answer"
        )
    rendered = [render(tokenizer, prompt, question, answer) for question, answer in pairs]
    texts = [before + answer for before, answer in rendered]
    coded = tokenizer(texts, add_special_tokens=prompt != CHAT, return_offsets_mapping=True)
    result = []
    for i, (ids, offsets) in enumerate(zip(coded["input_ids"], coded["offset_mapping"], strict=True)):
        if ids and ids[-1] == tokenizer.eos_token_id:
            ids, offsets = ids[:-1], offsets[:-1]
        start = next((t for t, (_, end) in enumerate(offsets) if end > len(rendered[i][0])), len(ids))
        if start == 0 or start == len(ids):
            part = "prompt" if start == 0 else "answer"
            raise BaldroError(f"row {i}: the {part} of {texts[i]!r} has no token; allowed: at least one token each")
        if len(ids) + 1 > longest:
            raise BaldroError(
                f"row {i} has {len(ids) + 1} tokens; allowed: at most {longest}, the model's positions ({texts[i][:60]!r}...)"
            )
        result.append(Tokens(ids=(*ids, tokenizer.eos_token_id), start=start))
    return result
