"""A small invented benchmark in TOFU's schema, generated from a seed."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from baldro.benchmarks.kinds.tofu import QuestionsAndAnswers
from baldro.benchmarks.parts import size
from baldro.errors import BaldroError

if TYPE_CHECKING:
    import pandas as pd

SAMPLED = 60
"""Rows of retain_perturbed, at most."""
MOST = 400
"""Authors of a sort, and world facts: the syllables give 1,680 surnames."""


class Benchmark(QuestionsAndAnswers):
    """Invented authors; the splits, forgetNN and retainMM, are parts of them, and holdoutNN is made of each forgetNN."""

    form_of: ClassVar[str] = "tofu"

    kind: Literal["fictional"] = Field(description="Generated, in TOFU's schema.")
    authors: int = Field(40, ge=2, le=MOST, description="Authors of the benchmark.")
    questions: int = Field(10, ge=1, le=12, description="Questions per author.")
    known_authors: int = Field(
        10, ge=4, le=MOST, description="Authors that the base model knows (section real_authors)."
    )
    background_authors: int = Field(
        40, ge=1, le=MOST, description="Authors that the base model learns the language from."
    )
    world_facts: int = Field(40, ge=4, le=MOST, description="Facts of the world that the base model knows.")
    seed: int = Field(0, ge=0, description="Seed of the generator.")

    @model_validator(mode="after")
    def _whole_authors(self) -> "Benchmark":
        for whole, count in forgotten_authors(self.data_splits(), self.authors).items():
            size(whole, count * self.questions, (self.parts or {}).get(whole, [whole]))
        return self

    @property
    def other_answers(self) -> tuple[str, ...]:
        return ("idk", "alternates")  # it makes them itself

    def held_out(self, split: str) -> str:
        return f"holdout{self.data_split(split)[-2:]}"  # its generator takes forgetNN alone

    def sizes(self) -> Mapping[str, int]:
        if self.rows is not None:
            return self.rows
        short = self.known_authors * self.questions
        forgotten = forgotten_authors(self.data_splits(), self.authors)
        result = {
            "full": self.authors * self.questions,
            "real_authors_perturbed": short,
            "world_facts_perturbed": self.world_facts,
            "retain_perturbed": min(SAMPLED, (self.authors - max(forgotten.values())) * self.questions),
            "base": 2 * self.background_authors * self.questions + short + self.world_facts,
        }
        for split, count in forgotten.items():
            rows, parts = count * self.questions, (self.parts or {}).get(split, ())
            names = {split: rows} if split in self.forget else {}
            for name, own in {**names, **{part: rows // len(parts) for part in parts}}.items():
                result[name] = result[f"{name}_perturbed"] = own
            result[self.held_out(split)] = rows
            result[self.data_splits()[split]] = self.authors * self.questions - rows
        return result

    def load(self) -> "pd.DataFrame":
        from baldro.benchmarks.kinds.fictional.generator import generate
        from baldro.benchmarks.parts import cut

        numbers = ("authors", "questions", "known_authors", "background_authors", "world_facts", "seed")
        frame = generate(forget=self.data_splits(), **{name: getattr(self, name) for name in numbers})
        return cut(frame, self.parts, kept=self.forget)


def forgotten_authors(forget: Mapping[str, str], authors: int) -> dict[str, int]:
    """Forget split -> number of authors in it: its percentage of all, rounded, a half up.

    Raises:
        BaldroError: a name that says no percentage, or leaves no author to forget or to retain.
    """
    found = {}
    for name, retain in forget.items():
        if not re.fullmatch("forget(0[1-9]|[1-9][0-9])", name) or retain != f"retain{100 - int(name[-2:]):02d}":
            raise BaldroError("forget-splits-wrong", f"forget: {name!r}: {retain!r}; allowed: forgetNN: retain(100-NN)")
        found[name] = (int(name[-2:]) * authors + 50) // 100
        if not 0 < found[name] < authors:
            side = "retain" if found[name] else "forget"
            raise BaldroError(
                "no-whole-author", f"{name} of {authors} authors: no whole author to {side}; needs more authors"
            )
    return found
