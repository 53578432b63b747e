"""The tokenizer's chat template: what it renders, and whether it renders the same every day.

A chat template is a program. What it may read is declared with the model (`system`, `date`, `template`) and so is part of what a run
depends on; a template that asks for today's date while none is declared is refused, since its prompt would be another one tomorrow.
"""

import inspect
import json
import re
from collections.abc import Mapping
from datetime import date
from typing import Any

import jinja2

from baldro.errors import BaldroError
from baldro.prompts.prompt import AS_TEXT, KEYS, Prompt

CLOCK = "strftime_now"
"""The function by which templates read the date."""
ASKED = "the date is asked for in the form "
"""Begins the error with which the fixed clock asks for the date in a form that it does not know yet."""


def conversation(tokenizer: Any, prompt: Prompt, question: str, answer: str | None = None) -> str:
    """The chat template's text of system message, question and answer; without an answer, it ends in the generation prompt."""
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
                raise _failure(error, prompt) from error
            form = str(error).removeprefix(ASKED)
            forms[form] = _dated(form, prompt.date)


def dated(tokenizer: Any, prompt: Prompt) -> str:
    """The chat template with the declared date in it, for a library that renders conversations of its own."""
    source = template_of(tokenizer, prompt)
    return _clocked(source, _forms(source, prompt.date))


def _forms(source: str, today: str | None) -> dict[str, str]:
    """Form of a date (%d %b %Y) -> the declared date in it, for the forms that stand in the template; others are found as it asks."""
    named = re.findall(CLOCK + r"\(\s*(?:format\s*=\s*)?(['\"])(.*?)\1", source)
    return {form: _dated(form, today) for _, form in named} if today else {}


def _dated(form: str, today: str | None) -> str:
    if today is None:
        raise BaldroError(
            "template-reads-clock",
            f"the chat template reads today's date ({CLOCK}({form!r})); allowed: `date: \"2025-04-10\"` in the model's entry, or the "
            'template\'s own argument there, such as `template: {date_string: "10 Apr 2025"}`',
        )
    return date.fromisoformat(today).strftime(form)


def _clocked(source: str, forms: Mapping[str, str]) -> str:
    """The template with a fixed clock: a macro, on a line that renders nothing, hides the function of transformers."""
    if CLOCK not in source:
        return source
    known = json.dumps(forms)
    return (
        f"{{% macro {CLOCK}(format) %}}{{% set known = {known} %}}{{% if format in known %}}{{{{ known[format] }}}}{{% else %}}"
        f"{{{{ raise_exception({json.dumps(ASKED)} ~ format) }}}}{{% endif %}}{{% endmacro %}}\n{source}"
    )


def _failure(error: Exception, prompt: Prompt) -> BaldroError:
    """An error of a template as one line, and what could be declared against it."""
    said = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, jinja2.TemplateSyntaxError):
        line = error.lineno - (CLOCK in (error.source or ""))  # `_clocked` adds one before it
        return BaldroError(
            "template-not-jinja",
            f"line {line} of the chat template is not Jinja: {said}; allowed: a template in Jinja, or {AS_TEXT}",
        )
    if isinstance(error, jinja2.UndefinedError):
        return BaldroError(
            "template-lacks-argument",
            f"the chat template fails: {said}; allowed: it under `template` in the model's entry, or {AS_TEXT}",
        )
    declared = "" if prompt.system is not None else "`system` in the model's entry, if it wants a system message; "
    return BaldroError(
        "template-refuses-messages",
        f"the chat template refuses a question and its answer: {said}; allowed: {declared}a template that takes both, or {AS_TEXT}",
    )


def check_declared(tokenizer: Any, prompt: Prompt) -> None:
    """Check that the template reads what is declared for it, and draws nothing at random.

    Raises:
        BaldroError: `system`, `date` or `template` beside a plain prompt; an argument that the template never reads, or that is this
            project's to set; a date in another form; a template that draws at random.
    """
    if not prompt.chat:
        for key, value in zip(KEYS, (prompt.system, prompt.date, prompt.arguments or None), strict=True):
            if value is not None:
                raise BaldroError("chat-only-key", f"{key} is read by chat templates only; allowed: with prompt: chat")
        return
    own = set(inspect.signature(tokenizer.apply_chat_template).parameters) - {"chat_template", "kwargs"}
    for name in sorted({*own, "messages", CLOCK} & set(prompt.arguments)):
        raise BaldroError("argument-not-to-set", f"template: {name!r} is set here; allowed: the template's arguments")
    source = template_of(tokenizer, prompt)
    for name in prompt.arguments:
        if name != "chat_template" and not re.search(rf"\b{re.escape(name)}\b", source):
            raise BaldroError("unknown-template-argument", f"template: {name!r} is not read; allowed: what it reads")
    if re.search(r"\|\s*random\b", source):
        raise BaldroError("template-draws-at-random", "the chat template draws at random; allowed: one that does not")
    if prompt.date is not None:
        try:
            date.fromisoformat(prompt.date)
        except ValueError:
            raise BaldroError("not-a-date", f'date: {prompt.date!r}; allowed: such as "2025-04-10"') from None
        if CLOCK not in source:
            raise BaldroError("date-not-read", f"date: the chat template does not read {CLOCK}; allowed: no date")


def template_of(tokenizer: Any, prompt: Prompt) -> str:
    """The chat template's text; empty for a plain prompt."""
    if not prompt.chat:
        return ""
    if not getattr(tokenizer, "chat_template", None):
        raise BaldroError("no-chat-template", f"the tokenizer has no chat template; allowed: {AS_TEXT}")
    named = prompt.arguments.get("chat_template")
    several = tokenizer.chat_template if isinstance(tokenizer.chat_template, dict) else {}
    names = ", ".join(sorted(several)) or "none by name"
    if named is None and several and "default" not in several:
        said = f"the tokenizer has several chat templates and no default; allowed: `template: {{chat_template: NAME}}`, one of {names}"
        raise BaldroError("no-default-template", said)
    if named is not None and named not in several:
        raise BaldroError("unknown-chat-template", f"template: no chat template {named!r}; allowed: {names}")
    return tokenizer.get_chat_template(named)
