"""A run and the files that it builds on; read without torch, so that a verb can decide what there is to do before it loads a model."""

from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from baldro.benchmarks.table import content_hash
from baldro.benchmarks.table import read as read_records
from baldro.durable.contents import model_content
from baldro.durable.files import read_json
from baldro.errors import BaldroError, unknown
from baldro.prompts.prompt import Prompt
from baldro.runs import Run

BUILD = "build"
"""As in `baldro.models`, which needs torch."""


@dataclass(frozen=True)
class Given:
    """A run, and the files that it builds on."""

    run: Run
    model: Mapping[str, Any]
    """What `baldro model` found."""
    records: pd.DataFrame
    start: str
    """Folder, GGUF file or hub place of the model to start from, or `build`."""

    @property
    def prompt(self) -> Prompt:
        """The model's prompt, and what is declared for it."""
        return Prompt.of(self.model)

    @property
    def tokenizer(self) -> str:
        """The tokenizer's place: the model's own, or the start."""
        return self.model.get("tokenizer", self.start)

    @cached_property
    def content(self) -> str:
        """A hash of the benchmark's rows."""
        return content_hash(self.records)


def read(options: Namespace) -> Given:
    """The files that the options name."""
    model = description(options.model)
    place = str(options.start) if options.start else start(options.model, options.part)
    return Given(Run.parse(options.run), model, read_records(options.benchmark), place)


def description(path: Path) -> Mapping[str, Any]:
    """What `baldro model` found.

    Raises:
        BaldroError: no file of that verb.
    """
    model = read_json(path)
    if not isinstance(model, dict) or not {"name", "prompt", "build", "starts"} <= model.keys():
        raise BaldroError(f"{path} describes no model; allowed: a file that `baldro model` wrote")
    return model


def start(path: Path, part: str) -> str:
    """Where a part of a described model is: a folder, a GGUF file, a commit on the hub, or BUILD.

    Raises:
        BaldroError: no such part; no file of `baldro model`; a folder whose tokenizer, template or config is another one since.
    """
    model = description(path)
    own = {"tokenizer": model["tokenizer"]} if "tokenizer" in model else {}
    starts = {BUILD: BUILD, **model["starts"], **own}
    if part not in starts:
        raise unknown("part", part, starts, where=f"model {model['name']}")
    place, before = Path(starts[part]), model.get("contents", {}).get(part)
    if before and place.exists() and model_content(place, weights=False) != before:
        raise BaldroError(
            f"{place} has another tokenizer, chat template or config than when {path} was written; allowed: describe it anew "
            "(`baldro model`, or start the experiment again)"
        )
    return starts[part]


def check_unlearning(
    run: Run, *, retain_split: str | None, reference: Path | None, alternate_reference: Path | None
) -> None:
    """Whether an unlearning run was given what its objective compares with; asked before a model is loaded.

    Raises:
        BaldroError: an option that it needs is missing.
    """
    method, stored = run.method, "a file that `baldro reference` wrote"
    asked = [
        (method.retains, retain_split, "--retain-split", "a split of the benchmark, e.g. retain90"),
        ("reference" in method.needs, reference, "--reference", stored),
        (method.answers, alternate_reference, "--alternate-reference", f"{stored} with --answers {method.answers}"),
    ]
    for needed, value, option, allowed in asked:
        if needed and value is None:
            raise BaldroError(f"{run.objective} needs {option}; allowed: {allowed}")
