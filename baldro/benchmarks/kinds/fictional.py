"""A small invented benchmark in TOFU's schema, generated from a seed."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from baldro.benchmarks.kinds.tofu import QuestionsAndAnswers

if TYPE_CHECKING:
    import pandas as pd

SAMPLED = 60
"""Rows of retain_perturbed, at most."""


class Benchmark(QuestionsAndAnswers):
    """Invented authors; the splits, forgetNN and retainMM, are parts of them, and holdoutNN is made of each forgetNN."""

    form_of: ClassVar[str] = "tofu"

    kind: Literal["fictional"] = Field(description="Generated, in TOFU's schema.")
    authors: int = Field(40, ge=2, description="Authors of the benchmark.")
    questions: int = Field(10, ge=1, description="Questions per author.")
    known_authors: int = Field(10, ge=4, description="Authors that the base model knows (section real_authors).")
    background_authors: int = Field(40, ge=1, description="Authors that the base model learns the language from.")
    world_facts: int = Field(40, ge=4, description="Facts of the world that the base model knows.")
    seed: int = Field(0, ge=0, description="Seed of the generator.")

    @property
    def other_answers(self) -> tuple[str, ...]:
        return ("idk", "alternates")  # it makes them itself

    def held_out(self, split: str) -> str:
        return f"holdout{split[-2:]}"  # its generator takes forgetNN alone

    def sizes(self) -> Mapping[str, int]:
        if self.rows is not None:
            return self.rows
        short = self.known_authors * self.questions
        forgotten = {split: (int(split[-2:]) * self.authors + 50) // 100 for split in self.forget}
        result = {
            "full": self.authors * self.questions,
            "real_authors_perturbed": short,
            "world_facts_perturbed": self.world_facts,
            "retain_perturbed": min(SAMPLED, (self.authors - max(forgotten.values())) * self.questions),
            "base": 2 * self.background_authors * self.questions + short + self.world_facts,
        }
        for split, count in forgotten.items():
            result[split] = result[f"{split}_perturbed"] = result[self.held_out(split)] = count * self.questions
            result[self.forget[split]] = (self.authors - count) * self.questions
        return result

    def load(self) -> "pd.DataFrame":
        from baldro.benchmarks.fictional import generate

        numbers = ("authors", "questions", "known_authors", "background_authors", "world_facts", "seed")
        return generate(forget=self.forget, **{name: getattr(self, name) for name in numbers})
