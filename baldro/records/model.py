"""models/{model}.json, by `baldro model`: where a model's parts are, its prompt, and what both were when the file was written."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from baldro.durable.contents import model_content
from baldro.errors import BaldroError, unknown
from baldro.prompts.prompt import Prompt
from baldro.records.store import read_record, write_record

BUILD = "build"
"""The place of a model that is built from scratch."""


@dataclass(frozen=True, kw_only=True)
class Description:
    """A model whose places were looked up and whose prompt was tried."""

    name: str
    prompt: str
    """`chat`, or text with {question} in it."""
    system: str | None = None
    """With `prompt: chat`: the system message."""
    date: str | None = None
    """With `prompt: chat`: the day that the template is told."""
    template: Mapping[str, Any] | None = None
    """With `prompt: chat`: further arguments of the template."""
    build: Mapping[str, Any] | None
    """Shape of a model that is built from scratch."""
    starts: Mapping[str, str]
    """base, target, retain90, ... -> folder, GGUF file, or a commit on the hub."""
    tokenizer: str | None = None
    """The tokenizer's place, where it has one of its own."""
    rendered: Mapping[str, str] | None = None
    """Part -> a hash of what the prompt gives with its tokenizer."""
    contents: Mapping[str, str] | None = None
    """Part, or `tokenizer` -> a hash of the tokenizer's and config's files, of local ones."""

    def start(self, part: str) -> str:
        """Where a part is: a folder, a GGUF file, a commit on the hub, or BUILD.

        Raises:
            BaldroError: no such part; a folder whose tokenizer, template or config is another one since.
        """
        own = {"tokenizer": self.tokenizer} if self.tokenizer else {}
        starts = {BUILD: BUILD, **self.starts, **own}
        if part not in starts:
            raise unknown("part", part, starts, where=f"model {self.name}")
        place, before = Path(starts[part]), (self.contents or {}).get(part)
        if before and place.exists() and model_content(place, weights=False) != before:
            raise BaldroError(
                "model-changed-since",
                f"{place} has another tokenizer, chat template or config than when model {self.name} was described; allowed: describe "
                "it anew (`baldro model`, or start the experiment again)",
            )
        return starts[part]

    def as_dict(self) -> dict[str, Any]:
        """What the file holds: no fields that are absent."""
        return {name: value for name, value in vars(self).items() if value is not None or name == "build"}

    def as_prompt(self) -> Prompt:
        """Its prompt, and what is declared for it."""
        return Prompt.of(self.as_dict())


def place(results: Path, model: str) -> Path:
    """Where it is."""
    return results / "models" / f"{model}.json"


def write(path: Path, model: Description) -> None:
    """Store a description, whole or not at all."""
    write_record(path, model)


def read(path: Path) -> Description:
    """A stored description.

    Raises:
        BaldroError: no file of `baldro model`.
    """
    return read_record(path, Description, made_by="`baldro model`")
