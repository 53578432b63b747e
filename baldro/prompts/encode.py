"""Question and answer -> token ids, and which of them are the answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from baldro.errors import BaldroError
from baldro.prompts.prompt import AS_TEXT, Prompt, hash_of
from baldro.prompts.render import render
from baldro.prompts.template import check_declared, template_of


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """One sequence: prompt, answer and, except in running text, the tokens that end it."""

    ids: tuple[int, ...]
    """All token ids."""
    start: int
    """Position of the first answer token, at least 1; the answer and its end, if there is one, are ids[start:]."""
    end: int = 0
    """Tokens at the end that end the answer: 1 behind a plain prompt (the end of sequence), 1 or more in a chat, 0 in running text."""

    @property
    def answer(self) -> int:
        """Number of answer tokens, those of its end included if there is one."""
        return len(self.ids) - self.start

    @property
    def without_end(self) -> "Tokens":
        """The same sequence without the tokens that end it."""
        return Tokens(ids=self.ids[: len(self.ids) - self.end], start=self.start)

    @cached_property
    def hash(self) -> str:
        """Hash of its ids and of where the answer begins: equal for equal sequences only."""
        return hash_of(self.ids, self.start)


def few_shot(prompt: Prompt | str, examples: Sequence[tuple[str, str]]) -> str:
    """Text before a question's prompt: each worked example in that prompt, its answer, an empty line.

    Args:
        prompt: text with {question} in it.
        examples: (question, answer).

    >>> few_shot("Q: {question}\\nA: ", [("Who?", "Chika")])
    'Q: Who?\\nA: Chika\\n\\n'
    """
    prompt = Prompt.of(prompt)
    if prompt.chat:
        raise BaldroError("examples-in-chat", f"worked examples are not for a chat template; allowed: {AS_TEXT}")
    return "".join(prompt.text.replace("{question}", question) + answer + "\n\n" for question, answer in examples)


def encode(
    tokenizer: Any,
    prompt: Prompt | str,
    pairs: Sequence[tuple[str, str]],
    *,
    longest: int,
    end: bool = True,
    keep: int | None = None,
    before: str = "",
) -> list[Tokens]:
    """Token ids of each (question, answer), tokenised as one text so that no merge at the border is lost.

    As many tokens as the prompt has by itself are the prompt; the others are the answer and its end. So a token across the border
    (`]"` of `[/INST]"`) counts as prompt, as in open-unlearning (preprocess_chat_instance), by which published models were trained; a
    continuation begins from the prompt's own ids (`encode_prompts`), which then are others than this sequence's.
    Behind a plain prompt the answer ends in the end-of-sequence token. In a chat it ends in whatever the template writes behind it
    (`<|im_end|>` and a new line), and in nothing else.
    Nothing predicts the first token of a sequence, so without a prompt and a beginning-of-sequence token the answer starts at the second.

    Args:
        prompt: as `Prompt.of` takes it.
        longest: positions that the model has; a longer sequence is an error.
        end: the answer ends in its end; a piece of running text has none.
        keep: answer tokens at most, the end not counted; the rest of the text is cut.
        before: text before every prompt (`few_shot`).
    """
    prompt = Prompt.of(prompt)
    if end and not prompt.chat and tokenizer.eos_token_id is None:
        raise BaldroError("no-end-of-sequence", "the tokenizer has no end-of-sequence token; allowed: one that has")
    known: dict[str, tuple[str, str]] = {}
    rendered = [render(tokenizer, prompt, question, answer, known) for question, answer in pairs]
    texts = [before + r.before + r.answer + (r.end or "") for r in rendered]
    coded = _coded(tokenizer, prompt, texts)
    prompts = list(dict.fromkeys(before + r.before for r in rendered))  # of several answers to a question, once
    asked = {text: len(ids) for text, (ids, _) in zip(prompts, _coded(tokenizer, prompt, prompts), strict=True)}
    result = []
    for i, (ids, offsets) in enumerate(coded):
        border = len(texts[i]) - len(rendered[i].end or "")
        behind = [t for t, (begin, _) in enumerate(offsets) if begin >= border] if rendered[i].end else []
        ending = min(behind, default=len(ids))
        body, tail = ids[:ending], ids[ending:]
        start = asked[before + rendered[i].before]
        body = body if keep is None else body[: start + keep]
        start = max(start, 1)
        if start >= len(body):
            said = f"row {i}: the answer of {texts[i][:60]!r} has no token that is scored; allowed: at least one"
            raise BaldroError("no-scored-token", said)
        tail = [] if not end else tail if prompt.chat else [tokenizer.eos_token_id]
        ids = [*body, *tail]
        _check_length(i, ids, longest)
        result.append(Tokens(ids=tuple(ids), start=start, end=len(tail)))
    return result


def encode_prompts(
    tokenizer: Any, prompt: Prompt | str, pairs: Sequence[tuple[str, str]], *, longest: int, before: str = ""
) -> list[tuple[int, ...]]:
    """Token ids of each question's prompt alone, to be continued; arguments as in `encode`."""
    prompt = Prompt.of(prompt)
    texts = [before + render(tokenizer, prompt, question, answer).before for question, answer in pairs]
    result = []
    for i, (ids, _) in enumerate(_coded(tokenizer, prompt, texts)):
        if not ids:
            raise BaldroError("prompt-without-token", f"row {i}: the prompt has no token; allowed: at least one")
        _check_length(i, ids, longest)
        result.append(tuple(ids))
    return result


def ends(tokenizer: Any, prompt: Prompt | str) -> tuple[set[int], tuple[str, ...]]:
    """Tokens that end an answer, and texts that do (for a template that ends it without a token of its own).

    The end-of-sequence token always does; in a chat also the first added token behind the answer, and the visible text before that token.
    """
    tokens = {tokenizer.eos_token_id} - {None}
    end = render(tokenizer, prompt, "Who wrote it?", "Nobody knows who wrote it.").end
    if not end:
        return tokens, ()
    mark, at = _mark(tokenizer, end)
    text = end[:at].strip()
    return tokens | {mark} - {None}, (text,) if text else ()


def try_prompt(tokenizer: Any, prompt: Prompt | str) -> tuple[str, list[str]]:
    """Try a model's prompt on one question before anything is trained with it.

    Returns: a hash of the chat template and of the token ids that it gives, so that another template or tokenizer is noticed; and what a
        user should know of it, a sentence each.

    Raises:
        BaldroError: as `check_declared`, `render` and `encode`.
    """
    prompt = Prompt.of(prompt)
    check_declared(tokenizer, prompt)
    pair = ("Who wrote it?", "Nobody knows who wrote it.")
    [made] = encode(tokenizer, prompt, [pair], longest=10**6)
    notes = []
    if not made.end:
        notes.append(
            "the chat template writes nothing behind an answer: no end is trained or scored, and a model finetuned so never stops"
        )
    if [made.ids[: made.start]] != encode_prompts(tokenizer, prompt, [pair], longest=10**6):
        notes.append(
            "the prompt's end merges with an answer's first word, which then is neither trained nor scored (a space at its end?)"
        )
    return hash_of(template_of(tokenizer, prompt), made.ids, made.start), notes


def _mark(tokenizer: Any, end: str) -> tuple[int | None, int]:
    """The first added token of a text (such as <|im_end|>) and where it begins; None and the text's length without any."""
    coded = tokenizer(end, add_special_tokens=False, return_offsets_mapping=True)
    added = tokenizer.added_tokens_decoder
    found = zip(coded["input_ids"], coded["offset_mapping"], strict=True)
    return next(((token, begin) for token, (begin, _) in found if token in added), (None, len(end)))


def _coded(tokenizer: Any, prompt: Prompt, texts: list[str]) -> list[tuple[list[int], list[tuple[int, int]]]]:
    """Ids and character offsets of each text; behind a plain prompt without an end of sequence that the tokenizer adds."""
    coded = tokenizer(texts, add_special_tokens=not prompt.chat, return_offsets_mapping=True)
    rows = zip(coded["input_ids"], coded["offset_mapping"], strict=True)
    eos = tokenizer.eos_token_id
    return [(i[:-1], o[:-1]) if i and i[-1] == eos and not prompt.chat else (i, o) for i, o in rows]


def _check_length(row: int, ids: Sequence[int], longest: int) -> None:
    if len(ids) > longest:
        raise BaldroError(
            "row-too-long", f"row {row} has {len(ids)} tokens; allowed: at most {longest}, the model's positions"
        )
