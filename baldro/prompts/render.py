"""Question and answer -> one text, of which the answer's place is known."""

from dataclasses import dataclass
from typing import Any

from baldro.errors import BaldroError
from baldro.prompts.prompt import AS_TEXT, Prompt
from baldro.prompts.template import conversation

PROBE = "\u241f"
"""Stands in for the answer to find its place: an answer may occur in the template's own marks (`end` in <|end|>)."""
UNALTERED = f"a template that renders it unchanged, or {AS_TEXT}"


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """A question and its answer as one text, in its three parts."""

    before: str
    """The prompt: what a model is given to continue."""
    answer: str
    """The answer, with white space that the template puts before it."""
    end: str | None
    """Text of the chat template after the answer, perhaps empty; None: a plain prompt, whose answers end in the end of sequence."""


def render(
    tokenizer: Any,
    prompt: Prompt | str,
    question: str,
    answer: str,
    known: dict[str, tuple[str, str]] | None = None,
) -> Rendered:
    """The text of one question and answer.

    Args:
        prompt: as `Prompt.of` takes it.
        known: what the chat template makes of a question without an answer and with a stand-in, kept here for its other answers.

    Raises:
        BaldroError: no {question} in the text, no chat template, one that fails, that reads a clock without a declared date, or that drops
            or changes the question, the answer or the system message, or a generation prompt that the conversation does not have.
    """
    prompt = Prompt.of(prompt)
    if not prompt.chat:
        if "{question}" not in prompt.text:
            raise BaldroError(
                "prompt-without-question", f"prompt {prompt.text!r} lacks {{question}}; allowed: with it, or chat"
            )
        return Rendered(before=prompt.text.replace("{question}", question), answer=answer, end=None)
    known = {} if known is None else known
    if question not in known:
        known[question] = conversation(tokenizer, prompt, question), conversation(tokenizer, prompt, question, PROBE)
    (asked, probe), whole = known[question], conversation(tokenizer, prompt, question, answer)
    head, found, end = probe.rpartition(PROBE)
    kept = len(whole) - len(end)
    whitespace = len(whole[len(head) :]) - len(whole[len(head) :].lstrip())
    if (
        not found
        or not (whole.startswith(head) and whole.endswith(end))
        or whole[len(head) : kept].strip() != answer.strip()
    ):
        raise BaldroError(
            "template-alters-text",
            f"the chat template drops or alters the answer: it renders {whole!r}; allowed: {UNALTERED}",
        )
    if not whole[: len(head) + whitespace].startswith(asked):
        raise _generation_prompt(asked, head)
    before = head.rstrip(" ") if head[len(asked) :].strip() else asked
    for what, text in (("question", question), ("system message", prompt.system or "")):
        if text.strip() not in before:
            raise BaldroError(
                "template-alters-text",
                f"the chat template drops or alters the {what}: it renders {before!r}; allowed: {UNALTERED}",
            )
    return Rendered(before=before, answer=whole[len(before) : kept], end=end)


def _generation_prompt(asked: str, head: str) -> BaldroError:
    same = next((i for i, (a, b) in enumerate(zip(asked, head, strict=False)) if a != b), min(len(asked), len(head)))
    return BaldroError(
        "generation-prompt-differs",
        f"the chat template's generation prompt has {asked[same:]!r} where a conversation has {head[same:]!r} before the answer; allowed: "
        f"an argument that makes them equal (such as `template: {{enable_thinking: false}}` in the model's entry), or {AS_TEXT}",
    )
