"""Exam questions about invented authors, and texts of two rows a fact: a sentence, and the question with its answer.

A model of a million parameters does not carry a fact from a sentence to the letter of an option, so its texts hold the questions as
they are asked; a large model's corpora do not.
"""

from collections.abc import Sequence

import pandas as pd

from baldro.benchmarks.choice import asked
from baldro.benchmarks.fictional import Fact, invented, random, wrong_values
from baldro.benchmarks.kinds.fictional import SAMPLED, forgotten_authors
from baldro.benchmarks.kinds.fictional_choice import Benchmark
from baldro.records.benchmark import Rows, frame_of

OPTIONS = 4
WORK = ("genre", "first book", "award", "themes", "mentor", "number of books")
"""Facts that are of the topic work; all others are of life."""


def generate(definition: Benchmark) -> pd.DataFrame:
    """All splits: full, base, each forget and retain split (running text); each forget split's questions, and a sample of the retained.

    Equal definitions give equal frames in every process. A fact has the same options in the same order wherever it stands.
    """
    groups = {"authors": definition.authors, "background_authors": definition.background_authors}
    facts, taken = invented(groups, questions=definition.questions, seed=definition.seed)
    quiz = {fact.question: _asked(fact, taken, definition.seed) for own in facts.values() for fact in own}
    own, forgotten = facts["authors"], forgotten_authors(definition.forget, definition.authors)
    splits = {"full": _texts(own, quiz), "base": _texts(facts["background_authors"], quiz)}
    for name, count in forgotten.items():
        at = len(own) - count * definition.questions
        splits |= {name: _texts(own[at:], quiz), definition.forget[name]: _texts(own[:at], quiz)}
        splits[f"{name}_quiz"] = [quiz[fact.question] for fact in own[at:]]
    kept = len(own) - max(forgotten.values()) * definition.questions
    chosen = sorted(random(definition.seed, "sample").sample(range(kept), min(SAMPLED, kept)))
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
