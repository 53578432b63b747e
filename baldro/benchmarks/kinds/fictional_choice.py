"""A small invented multiple choice: exam questions about invented authors, and texts that know the answers; generated from a seed."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from baldro.benchmarks.choice import HARNESS, accuracies, quiz
from baldro.benchmarks.definition import Definition, OwnMetric
from baldro.benchmarks.kinds.fictional import MOST, SAMPLED, forgotten_authors
from baldro.benchmarks.section import Section

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = ("comparison", "sentence", "effect", "strength figure")


class Benchmark(Definition):
    """Four options a fact; the splits, forgetNN and retainMM, are texts about parts of the authors."""

    sections: ClassVar[tuple[Section, ...]] = (quiz("forget", "{split}_quiz"), quiz("retain", "retain_quiz"))
    own_metrics: ClassVar[tuple[OwnMetric, ...]] = (
        accuracies(
            "choice_forget", "accuracy on forgotten authors (chance 0.25)", "Acc F", of=("forget",), better="down", source=HARNESS,
            shown=dict.fromkeys((*_SHOWN, "trade-off figure, y", "memory"), 31),
        ),
        accuracies(
            "choice_retain", "accuracy on retained authors", "Acc R", of=("retain",), better="up", source=HARNESS,
            shown=dict.fromkeys((*_SHOWN, "trade-off figure, x"), 32),
        ),
    )  # fmt: skip
    metrics: ClassVar[tuple[str, ...]] = ("choice_forget", "choice_retain")
    columns: ClassVar[tuple[str, ...]] = metrics

    kind: Literal["fictional_choice"] = Field(description="Generated; asked as WMDP and MMLU are.")
    authors: int = Field(20, ge=2, le=MOST, description="Authors of the benchmark.")
    questions: int = Field(10, ge=1, le=12, description="Questions per author.")
    background_authors: int = Field(
        20,
        ge=1,
        le=MOST,
        description="Authors that the base model learns the language and the form of a question from.",
    )
    seed: int = Field(0, ge=0, description="Seed of the generator.")

    @model_validator(mode="after")
    def _whole_authors(self) -> "Benchmark":
        forgotten_authors(self.forget, self.authors)
        return self

    def sizes(self) -> Mapping[str, int]:
        if self.rows is not None:
            return self.rows
        forgotten = forgotten_authors(self.forget, self.authors)
        kept = self.authors - max(forgotten.values())
        texts = {"full": self.authors, "base": self.background_authors, **forgotten}
        texts |= {self.forget[name]: self.authors - count for name, count in forgotten.items()}
        found = {name: 2 * count * self.questions for name, count in texts.items()}
        found |= {f"{name}_quiz": count * self.questions for name, count in forgotten.items()}
        return found | {"retain_quiz": min(SAMPLED, kept * self.questions)}

    def load(self) -> "pd.DataFrame":
        from baldro.benchmarks.fictional_choice import generate

        return generate(self)
