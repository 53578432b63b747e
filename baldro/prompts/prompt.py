"""A model's prompt: what stands before an answer and behind it, as plain text or by the tokenizer's chat template.

A chat template is a program. What it may read is declared with the model (`system`, `date`, `template`) and so is part of what a run
depends on; a template that asks for today's date while none is declared is refused, since its prompt would be another one tomorrow.
"""

import hashlib
import inspect
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import jinja2

from baldro.errors import BaldroError

CHAT = "chat"
PROBE = "\u241f"
"""Stands in for the answer to find its place: an answer may occur in the template's own marks (`end` in <|end|>)."""
KEYS = ("system", "date", "template")
"""What a model's entry may declare beside `prompt: chat`."""
CLOCK = "strftime_now"
"""The function by which templates ask for the date."""
ASKED = "the date is asked for in the form "
"""How the clock that stands still says that it does not know the form yet."""
OTHERWISE = "a template that keeps it, or a prompt: text with {question} in it"


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """How a question becomes a prompt."""

    text: str
    """Text with {question} in it, or `chat` for the tokenizer's chat template."""
    system: str | None = None
    """Content of a system message before the question; chat only."""
    date: str | None = None
    """What the template gets for today, YYYY-MM-DD; chat only."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of the template, such as date_string or enable_thinking; chat only."""

    @classmethod
    def of(cls, definition: "Prompt | str | Mapping[str, Any]") -> "Prompt":
        """Of a text, or of what models.yaml or `results/models/{name}.json` say of a model."""
        if isinstance(definition, Prompt):
            return definition
        if isinstance(definition, str):
            return cls(text=definition)
        text = definition.get("prompt", "{question}\n")
        told = dict(zip(("system", "date", "arguments"), map(definition.get, KEYS), strict=True))
        return cls(text=text, **{name: value for name, value in told.items() if value is not None})

    @property
    def chat(self) -> bool:
        """Whether the tokenizer's chat template writes it."""
        return self.text == CHAT


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """A question and its answer as one text, in its three parts."""

    before: str
    """The prompt: what a model is given to continue."""
    answer: str
    """The answer, with white space that the template puts before it."""
    end: str | None
    """What the chat template writes behind the answer, perhaps nothing; None: a plain prompt, whose answers end in the end of sequence."""


def render(tokenizer: Any, prompt: Prompt | str, question: str, answer: str) -> Rendered:
    """The text of one question and answer.

    Args:
        prompt: as `Prompt.of` takes it.

    Raises:
        BaldroError: no {question} in the text, no chat template, one that fails, that reads a clock without a declared date, or that drops
            or changes the question, the answer or the system message, or a generation prompt that the conversation does not have.
    """
    prompt = Prompt.of(prompt)
    if not prompt.chat:
        if "{question}" not in prompt.text:
            raise BaldroError(
                f"prompt {prompt.text!r} lacks {{question}}; allowed: text with {{question}} in it, or chat"
            )
        return Rendered(before=prompt.text.replace("{question}", question), answer=answer, end=None)
    asked = conversation(tokenizer, prompt, question)
    whole, probe = (conversation(tokenizer, prompt, question, text) for text in (answer, PROBE))
    head, found, end = probe.rpartition(PROBE)
    kept = len(whole) - len(end)
    whitespace = len(whole[len(head) :]) - len(whole[len(head) :].lstrip())
    if (
        not found
        or not (whole.startswith(head) and whole.endswith(end))
        or whole[len(head) : kept].strip() != answer.strip()
    ):
        raise BaldroError(
            f"the chat template eats or changes the answer {answer!r}: it renders {whole!r}; allowed: {OTHERWISE}"
        )
    if not whole[: len(head) + whitespace].startswith(asked):
        raise BaldroError(_generation_prompt(asked, head))
    before = head.rstrip(" ") if head[len(asked) :].strip() else asked
    for what, text in (("question", question), ("system message", prompt.system or "")):
        if text.strip() not in before:
            raise BaldroError(
                f"the chat template eats the {what} {text!r}: it renders {before!r}; allowed: {OTHERWISE}"
            )
    return Rendered(before=before, answer=whole[len(before) : kept], end=end)


def _generation_prompt(asked: str, head: str) -> str:
    same = next((i for i, (a, b) in enumerate(zip(asked, head, strict=False)) if a != b), min(len(asked), len(head)))
    return (
        f"the chat template's generation prompt has {asked[same:]!r} where the conversation that it renders has {head[same:]!r} before "
        "the answer, so that an answer would be trained behind one text and asked for behind another; allowed: an argument of the "
        "template that makes them one (such as `template: {enable_thinking: false}` in the model's entry), or a prompt: text with "
        "{question} in it"
    )


def conversation(tokenizer: Any, prompt: Prompt, question: str, answer: str | None = None) -> str:
    """What the chat template makes of the system message, the question and the answer; the generation prompt, if there is no answer."""
    messages = [{"role": "system", "content": prompt.system}] if prompt.system is not None else []
    messages += [{"role": "user", "content": question}]
    messages += [{"role": "assistant", "content": answer}] if answer is not None else []
    source = template_of(tokenizer, prompt)
    given = {name: value for name, value in prompt.arguments.items() if name != "chat_template"}
    forms = _forms(source, prompt.date)
    while True:
        try:
            return tokenizer.apply_chat_template(
                messages,
                tokenize=False,
                add_generation_prompt=answer is None,
                chat_template=_clocked(source, forms),
                **given,
            )
        except Exception as error:  # a template can raise whatever Python can
            if not str(error).startswith(ASKED):
                raise BaldroError(_failure(error, prompt)) from error
            form = str(error).removeprefix(ASKED)
            forms[form] = _dated(form, prompt.date)


def _forms(source: str, today: str | None) -> dict[str, str]:
    """Form of a date (%d %b %Y) -> the declared date in it, for those that the template names; others are found when it asks for them."""
    named = re.findall(CLOCK + r"\(\s*(?:format\s*=\s*)?(['\"])(.*?)\1", source)
    return {form: _dated(form, today) for _, form in named} if today else {}


def _dated(form: str, today: str | None) -> str:
    if today is None:
        raise BaldroError(
            f"the chat template reads today's date ({CLOCK}({form!r})), so that the prompt is another one every day; allowed: "
            "`date: \"2025-04-10\"` in the model's entry, or the template's own argument there, such as "
            '`template: {date_string: "10 Apr 2025"}`'
        )
    return date.fromisoformat(today).strftime(form)


def _clocked(source: str, forms: Mapping[str, str]) -> str:
    """The template with a clock that stands still: a macro, on a line that leaves no trace, hides the function of transformers."""
    if CLOCK not in source:
        return source
    known = json.dumps(forms)
    return (
        f"{{% macro {CLOCK}(format) %}}{{% set known = {known} %}}{{% if format in known %}}{{{{ known[format] }}}}{{% else %}}"
        f"{{{{ raise_exception({json.dumps(ASKED)} ~ format) }}}}{{% endif %}}{{% endmacro %}}\n{source}"
    )


def _failure(error: Exception, prompt: Prompt) -> str:
    """An error of a template as one line, and what could be declared against it."""
    told = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, jinja2.TemplateSyntaxError):
        line = error.lineno - (CLOCK in (error.source or ""))  # one stands before it
        return f"the chat template is not Jinja: line {line}: {told}; allowed: a template that can be read, or a prompt"
    if isinstance(error, jinja2.UndefinedError):
        return (
            f"the chat template fails: {told}; allowed: that argument under `template` in the model's entry, or a prompt: text with "
            "{question} in it"
        )
    if isinstance(error, ValueError) and "multiple chat templates" in told:
        names = re.search(r"\[.*\]", told)
        return (
            f"the tokenizer has several chat templates and no default; allowed: `template: {{chat_template: NAME}}` in the model's entry, "
            f"with one of {names[0] if names else 'their names'}, or a prompt"
        )
    declared = "" if prompt.system is not None else "`system` in the model's entry, if it wants a system message; "
    return (
        f"the chat template refuses a question and its answer: {told}; allowed: {declared}a template that takes a question and an answer, "
        "or a prompt: text with {question} in it"
    )


def check_declared(tokenizer: Any, prompt: Prompt) -> None:
    """Whether the template reads what is declared for it, and no chance.

    Raises:
        BaldroError: `system`, `date` or `template` beside a plain prompt; an argument that the template never reads, or that is this
            project's to set; a date in another form; a template that draws at random.
    """
    declared = [
        key
        for key, value in zip(KEYS, (prompt.system, prompt.date, prompt.arguments or None), strict=True)
        if value is not None
    ]
    if declared and not prompt.chat:
        raise BaldroError(f"{declared[0]} is read by chat templates only; allowed: with prompt: chat")
    if not prompt.chat:
        return
    own = set(inspect.signature(tokenizer.apply_chat_template).parameters) - {"chat_template", "kwargs"}
    for name in sorted({*own, "messages", CLOCK} & set(prompt.arguments)):
        raise BaldroError(f"template: {name!r} is not to be set; allowed: arguments of the chat template")
    source = template_of(tokenizer, prompt)
    for name in prompt.arguments:
        if name != "chat_template" and not re.search(rf"\b{re.escape(name)}\b", source):
            raise BaldroError(f"template: the chat template has no argument {name!r}; allowed: a name that it reads")
    if re.search(r"\|\s*random\b", source):
        raise BaldroError("the chat template draws at random; allowed: one that always renders the same")
    if prompt.date is not None:
        try:
            date.fromisoformat(prompt.date)
        except ValueError:
            raise BaldroError(f'date: {prompt.date!r} is no date; allowed: such as "2025-04-10"') from None
        if CLOCK not in source:
            raise BaldroError(f"date: the chat template does not ask for the date by {CLOCK}; allowed: without it")


def template_of(tokenizer: Any, prompt: Prompt) -> str:
    """The chat template's text; empty for a plain prompt."""
    if not prompt.chat:
        return ""
    if not getattr(tokenizer, "chat_template", None):
        raise BaldroError("prompt is chat, but the tokenizer has no chat template; allowed: text with {question} in it")
    named = prompt.arguments.get("chat_template")
    several = tokenizer.chat_template if isinstance(tokenizer.chat_template, dict) else {}
    if named is not None and named not in several:
        raise BaldroError(
            f"template: the tokenizer has no chat template {named!r}; allowed: {', '.join(sorted(several)) or 'none by name'}"
        )
    try:
        return tokenizer.get_chat_template(named)
    except ValueError as error:
        raise BaldroError(_failure(error, prompt)) from error


def hash_of(*parts: Any) -> str:
    """16 hexadecimal digits of the SHA-256 of what JSON can hold."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
