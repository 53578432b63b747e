"""A model's prompt: text with a question's place in it, or the tokenizer's chat template and what that may read."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

CHAT = "chat"
KEYS = ("system", "date", "template")
"""Keys that a model's entry may have beside `prompt: chat`."""
AS_TEXT = "a prompt: text with {question} in it"
"""The prompt that every model may have instead of a chat template."""


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """How a question becomes a prompt."""

    text: str
    """Text with {question} in it, or `chat` for the tokenizer's chat template."""
    system: str | None = None
    """Content of a system message before the question; chat only."""
    date: str | None = None
    """Today's date for the template, YYYY-MM-DD; chat only."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of the template, such as date_string or enable_thinking; chat only."""

    @classmethod
    def of(cls, definition: "Prompt | str | Mapping[str, Any]") -> "Prompt":
        """The prompt of a text, or of a model's entry in models.yaml or `results/models/{name}.json`."""
        if isinstance(definition, Prompt):
            return definition
        if isinstance(definition, str):
            return cls(text=definition)
        text = definition.get("prompt", "{question}\n")
        declared = dict(zip(("system", "date", "arguments"), map(definition.get, KEYS), strict=True))
        return cls(text=text, **{name: value for name, value in declared.items() if value is not None})

    @property
    def chat(self) -> bool:
        """Whether it is written by the tokenizer's chat template."""
        return self.text == CHAT


def hash_of(*parts: Any) -> str:
    """16 hexadecimal digits of the SHA-256 of what JSON can hold."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
