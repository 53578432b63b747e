"""A small invented multiple choice: exam questions about invented authors, and texts that know the answers; generated from a seed.

A text is one of two rows a fact: a sentence, and the question with its answer. A model of a million parameters does not carry a fact from a
sentence to the letter of an option, so its texts hold the questions as they are asked; a large model's corpora do not.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from baldro.benchmarks.choice import HARNESS, accuracies, asked, quiz
from baldro.benchmarks.definition import Definition, OwnMetric
from baldro.benchmarks.kinds.fictional import MOST, SAMPLED, forgotten_authors
from baldro.benchmarks.kinds.fictional.generator import Fact, invented, random, wrong_values
from baldro.benchmarks.section import Section
from baldro.records.benchmark import Rows, frame_of

if TYPE_CHECKING:
    import pandas as pd

OPTIONS = 4
WORK = ("genre", "first book", "award", "themes", "mentor", "number of books")
"""Facts that are of the topic work; all others are of life."""
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
        """All splits: full, base, each forget and retain split (running text); each forget split's questions, and a sample of the retained.

        Equal definitions give equal frames in every process. A fact has the same options in the same order wherever it stands.
        """
        groups = {"authors": self.authors, "background_authors": self.background_authors}
        facts, taken = invented(groups, questions=self.questions, seed=self.seed)
        quiz = {fact.question: _asked(fact, taken, self.seed) for own in facts.values() for fact in own}
        own, forgotten = facts["authors"], forgotten_authors(self.forget, self.authors)
        splits = {"full": _texts(own, quiz), "base": _texts(facts["background_authors"], quiz)}
        for name, count in forgotten.items():
            at = len(own) - count * self.questions
            splits |= {name: _texts(own[at:], quiz), self.forget[name]: _texts(own[:at], quiz)}
            splits[f"{name}_quiz"] = [quiz[fact.question] for fact in own[at:]]
        kept = len(own) - max(forgotten.values()) * self.questions
        chosen = sorted(random(self.seed, "sample").sample(range(kept), min(SAMPLED, kept)))
        splits["retain_quiz"] = [quiz[own[i].question] for i in chosen]
        return frame_of(splits)


def _asked(fact: Fact, taken: set[str], seed: int) -> dict:
    values = [fact.value, *wrong_values(fact, taken, seed)[: OPTIONS - 1]]
    random(seed, f"options/{fact.question}").shuffle(values)
    return asked(fact.question, values, values.index(fact.value), subject="invented authors")


def _texts(facts: Sequence[Fact], quiz: dict[str, dict]) -> Rows:
    rows = []
    for fact in facts:
        asked_for = quiz[fact.question]
        for text in (fact.sentence(fact.form), f"{asked_for['question']} {asked_for['answer']}"):
            rows.append({"question": "", "answer": text, "topic": "work" if fact.kind.fact in WORK else "life"})
    return rows
