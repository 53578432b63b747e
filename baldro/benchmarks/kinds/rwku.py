"""RWKU (Jin et al. 2024, arXiv 2406.10890): a model is to forget what it knows of a real, well-known person, or of several at once.

Probes are asked as in the released code: in the model's chat template, with an answer that begins with "Answer:" and ends with its line.
Known mismatch: the released recall is that of the package `rouge`, over words as they stand; ours is rouge-score's, over stemmed words.
"""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, field_validator

from baldro.benchmarks.definition import Count, Definition, OwnMetric, Places, Splits
from baldro.benchmarks.rows import files_of
from baldro.benchmarks.section import Section
from baldro.errors import BaldroError
from baldro.places import resolve

if TYPE_CHECKING:
    import pandas as pd

PROBES = ("forget_level1", "forget_level2", "forget_level3", "neighbor_level1", "neighbor_level2")
"""Configurations of the hub with probes, and their files: blanks to fill in, questions, attacks."""
SUFFIX = "forget_level3_suffix"
"""The attacks that end in the beginning of an answer of their own."""
MEMBERS = {"mia_forget": "forget_mia", "mia_retain": "retain_mia"}
"""Configurations with texts about the person, and about others, which models are taken to have seen, and their files."""
CORPORA = {
    "passages": ("train_original_passage", "passage"),
    "llama3": ("train_positive_llama3", "positive"),
    "phi3": ("train_positive_phi3", "positive_phi"),
}
"""Training text -> configuration of the hub, and file."""
OTHERS = "others"
PER_TARGET = dict(zip([*PROBES, SUFFIX, *MEMBERS], [16, 14, 31, 29, 28, 4, 31, 37], strict=True))
"""Rows of one person, for the plan: totals of the data set's card over 200 people, the attacks by type and the members guessed."""
TEXTS = 500
"""Training texts of one person, guessed by the size of the published files."""
SOURCE = "Jin et al. 2024, arXiv 2406.10890"
_PROBE = dict(prompt="chat", likelihood=False, max_new_tokens=30, stop=("\n",))
_TEXT = dict(prompt="{question}", generate=False, end=False)
_SHOWN = ("comparison", "sentence", "effect", "strength figure")


def _recall(sections: Sequence[str], evidence: Any) -> "pd.Series":
    """ROUGE-L recall of each probe of some sections, as far as they are there."""
    import pandas as pd

    found = [evidence.column(section, "rougeL_recall") for section in sections if evidence.has(section)]
    return pd.concat(found, ignore_index=True)


def _probes(name: str, label: str, short: str, *sections: str, shown: Mapping[str, float]) -> OwnMetric:
    better = "down" if short.startswith("F") else "up"
    return OwnMetric(
        name=f"rwku_{name}", label=f"ROUGE-L recall, {label}", short=short, better=better, source=SOURCE, shown=shown,
        values=partial(_recall, sections),
    )  # fmt: skip


def _loss(name: str, label: str, short: str, better: str) -> OwnMetric:
    return OwnMetric(
        name=f"rwku_{name}", label=f"loss on texts about {label}", short=short, better=better, source=SOURCE, high=float("inf"),
        unit="nats per token", values=lambda evidence: evidence.column(name, "answer_loss"),
    )  # fmt: skip


class Benchmark(Definition):
    """Probes of a person and of what is near, and texts that the model has seen; there is no retain model."""

    sections: ClassVar[tuple[Section, ...]] = (
        *(Section(name=name, split=f"{{split}}_{name}", begins="Answer:", **_PROBE) for name in PROBES),
        Section(name=SUFFIX, split=f"{{split}}_{SUFFIX}", optional=True, **_PROBE),
        *(Section(name=name, split=f"{{split}}_{name}", **_TEXT) for name in MEMBERS),
    )
    own_metrics: ClassVar[tuple[OwnMetric, ...]] = (
        _probes("forget", "the person", "F All", *PROBES[:3], SUFFIX, shown=dict.fromkeys((*_SHOWN, "memory", "trade-off figure, y"), 51)),
        _probes("forget_blanks", "the person, blanks", "F FB", PROBES[0], shown={"comparison": 52}),
        _probes("forget_questions", "the person, questions", "F QA", PROBES[1], shown={"comparison": 53}),
        _probes("forget_attacks", "the person, attacks", "F AA", PROBES[2], SUFFIX, shown={"comparison": 54}),
        _probes("neighbours", "what is near", "N All", *PROBES[3:], shown=dict.fromkeys((*_SHOWN, "trade-off figure, x"), 55)),
        _probes("neighbour_blanks", "what is near, blanks", "N FB", PROBES[3], shown={"comparison": 56}),
        _probes("neighbour_questions", "what is near, questions", "N QA", PROBES[4], shown={"comparison": 57}),
        _loss("mia_forget", "the person", "FM", "up"),
        _loss("mia_retain", "others", "RM", "down"),
    )  # fmt: skip
    metrics: ClassVar[tuple[str, ...]] = tuple(own.name for own in own_metrics)
    columns: ClassVar[tuple[str, ...]] = metrics
    compared: ClassVar[tuple[tuple[str, str], ...]] = tuple((name, "answer_loss") for name in MEMBERS)

    kind: Literal["rwku"] = Field(description="RWKU: real people. Needs models with a chat template.")
    source: Places = Field(
        description="Where the rows are: a folder laid out as jinzhuoran/RWKU (All/intro.json, All/forget_level1.json, ...), or the hub."
    )
    forget: Splits = Field(
        description="Whom to forget -> others. A person is named in small letters with hyphens (stephen-king); targets-1-50 are the first "
        "fifty. `others` are training texts of people whom no split forgets: ours, the publication has no text to retain."
    )
    train_on: Literal["passages", "llama3", "phi3"] = Field(
        "llama3",
        description="The text that is forgotten: of Wikipedia (passages), or what Llama-3-8B-Instruct or Phi-3-mini wrote of the person.",
    )
    texts: Count | None = Field(
        None, description="Keep only the first so many training texts of a person; all by default."
    )

    @field_validator("forget")
    @classmethod
    def _names(cls, forget: dict[str, str]) -> dict[str, str]:
        for name, retain in forget.items():
            if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) or retain != OTHERS:
                said = f"is {name}: {retain}; allowed: a person (stephen-king) or targets-FIRST-LAST, with {OTHERS}"
                raise BaldroError("forget-splits-wrong", said)
        return forget

    def sizes(self) -> Mapping[str, int]:
        if self.rows is not None:
            return self.rows
        people = {name: len(range(*found)) if (found := span(name)) else 1 for name in self.forget}
        texts = {name: (self.texts or TEXTS) * count for name, count in people.items()}
        probes = {f"{name}_{of}": n * count for name, count in people.items() for of, n in PER_TARGET.items()}
        return {**texts, OTHERS: max(texts.values()), **probes}

    def places(self) -> dict[str, tuple[str, str]]:
        """What is read: configuration of the hub -> file in a folder, split of the hub."""
        found = {
            "forget_target": ("All/intro.json", "train"),
            **{name: (f"All/{name}.json", "test") for name in PROBES},
        }
        found |= {name: (f"All/{file}.json", "test") for name, file in MEMBERS.items()}
        name, file = CORPORA[self.train_on]
        return found | {name: (f"All/{file}.json", "train")}

    def files(self, *, what: str) -> list[str]:
        folder = resolve(self.source, what=what).path
        found = [path for file, _ in self.places().values() for path in files_of(folder, file)] if folder else []
        return sorted(map(str, found))

    def load(self) -> "pd.DataFrame":
        from baldro.benchmarks.rwku import load

        return load(self)


def span(name: str) -> tuple[int, int] | None:
    """The first place and the one behind the last of targets-FIRST-LAST, from 0; None: a person."""
    found = re.fullmatch(r"targets-(\d+)-(\d+)", name)
    return (int(found[1]) - 1, int(found[2])) if found else None
