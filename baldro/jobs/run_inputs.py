"""A run and the files that it builds on; read without torch, so that a verb can decide what there is to do before it loads a model."""

from argparse import Namespace
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from baldro.errors import BaldroError
from baldro.prompts.prompt import Prompt
from baldro.records import benchmark, model
from baldro.records.model import Description
from baldro.runs import Run


@dataclass(frozen=True)
class RunInputs:
    """A run, and the files that it builds on."""

    run: Run
    model: Description
    records: pd.DataFrame
    """The benchmark's rows."""
    start: str
    """Folder, GGUF file or hub place of the model to start from, or `build`."""

    @property
    def prompt(self) -> Prompt:
        """The model's prompt, and what is declared for it."""
        return self.model.as_prompt()

    @property
    def tokenizer(self) -> str:
        """The tokenizer's place: the model's own, or the start."""
        return self.model.tokenizer or self.start

    @cached_property
    def content(self) -> str:
        """A hash of the benchmark's rows."""
        return benchmark.content_hash(self.records)


def read(options: Namespace) -> RunInputs:
    """The files that the options name."""
    described = model.read(options.model)
    start = str(options.start) if options.start else described.start(options.part)
    return RunInputs(Run.parse(options.run), described, benchmark.read(options.benchmark), start)


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
            raise BaldroError("missing-option", f"{run.objective} needs {option}; allowed: {allowed}")
