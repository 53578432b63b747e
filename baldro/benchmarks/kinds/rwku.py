"""RWKU (Jin et al. 2024, arXiv 2406.10890): a model is to forget what it knows of a real, well-known person, or of several at once.

Its rows are in a folder laid out as the hub's jinzhuoran/RWKU, or on the hub. Running text has no question: question is "", the text is
the answer. Probes are asked as in the released code: in the model's chat template, with an answer that begins with "Answer:" and ends with
its line.
Known mismatch: the released recall is that of the package `rouge`, over words as they stand; ours is rouge-score's, over stemmed words.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain, islice, zip_longest
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, field_validator

from baldro.benchmarks import jsonlines
from baldro.benchmarks.apart import few
from baldro.benchmarks.definition import Count, Definition, OwnMetric, Places, Splits
from baldro.benchmarks.rows import Table
from baldro.benchmarks.section import Section
from baldro.errors import BaldroError, unknown
from baldro.records.benchmark import Rows, frame_of

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
BLANK = "Please complete the blank in the following question.\nQuestion: {}\n"
QUESTION = "Please briefly answer the following question.\nQuestion: {}\n"
BY_TYPE = {
    "affirmative suffix": QUESTION.rstrip("\n"),
    "incontext learning": "Please briefly answer the following question.\n{}\n",
}
"""Attacks that are not asked as questions are."""
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

    def tables(self) -> Mapping[str, Table]:
        corpus, file = CORPORA[self.train_on]
        found = {"forget_target": ("intro", "train", ("target",)), corpus: (file, "train", ("subject",))}
        found |= {name: (name, "test", ("query", "answer", "subject")) for name in PROBES}
        found |= {name: (file, "test", ("text", "subject")) for name, file in MEMBERS.items()}
        here = partial(Table, self.source, "RWKU's rows", "jinzhuoran/RWKU, All/intro.json and so on")
        return {name: here(f"All/{file}.json", name, split, needed) for name, (file, split, needed) in found.items()}

    def load(self) -> "pd.DataFrame":
        """Training texts of each forget split and of others, and for each forget split its probes and members."""
        tables, corpus = self.tables(), CORPORA[self.train_on][0]
        source, read = str(tables[corpus].source), {name: table.rows() for name, table in tables.items()}
        everyone = [row["target"] for row in read["forget_target"]]
        people = {name: _people(name, everyone, source) for name in self.forget}
        whole, notes = _whole(read[corpus], source)
        texts, asked = _by_person(whole, _text, self.texts), _asked_of(read)
        splits = {name: _of(own, texts) for name, own in people.items()}
        gone = {who for own in people.values() for who in own}
        in_turn = chain.from_iterable(zip_longest(*(texts.get(who, []) for who in everyone if who not in gone)))
        splits[OTHERS] = list(islice(filter(None, in_turn), max(map(len, splits.values()))))
        splits |= {f"{name}_{of}": _of(own, found) for name, own in people.items() for of, found in asked.items()}
        lacking = ", ".join(name for name, own in splits.items() if not own and not name.endswith(SUFFIX))
        if lacking:
            said = f"{source}: no row for {lacking}; allowed: people of whom there is some (is a file cut short?)"
            raise BaldroError("no-row-left", said)
        return frame_of(splits, notes)


def span(name: str) -> tuple[int, int] | None:
    """The first place and the one behind the last of targets-FIRST-LAST, from 0; None: a person."""
    found = re.fullmatch(r"targets-(\d+)-(\d+)", name)
    return (int(found[1]) - 1, int(found[2])) if found else None


def _people(name: str, everyone: Sequence[str], source: str) -> list[str]:
    """The people of a forget split, as the data name them."""
    if found := span(name):
        if not 0 <= found[0] < found[1] <= len(everyone):
            said = f"forget: {name}; allowed: targets-FIRST-LAST of {len(everyone)} people in {source}"
            raise BaldroError("number-out-of-range", said)
        return list(everyone[slice(*found)])
    known = {_short(who): who for who in everyone}
    if name not in known:
        raise unknown("target", name, known, where=source)
    return [known[name]]


def _short(who: str) -> str:
    """A person's name in small letters without accents, with hyphens: Beyoncé is beyonce."""
    plain = unicodedata.normalize("NFKD", who).encode("ascii", "ignore").decode().lower()
    return re.sub("[^a-z0-9]+", "-", plain).strip("-")


def _whole(corpus: Rows, source: str) -> tuple[Rows, list[str]]:
    """The rows whose text is one, and what to note of the others: a model wrote them."""
    whole = [row for row in corpus if not jsonlines.fault(row.get("text"))]
    told = "of the training text are empty or no text, and left out"
    facts = dict(where=source, allowed="texts", code="field-not-text")
    return whole, few(len(corpus) - len(whole), len(corpus), told, **facts)


def _by_person(own: Rows, made: Callable[[dict], dict], most: int | None = None) -> dict[str, Rows]:
    """The rows about each person, at most so many, as the benchmark has them."""
    found: dict[str, Rows] = {}
    for row in own:
        found.setdefault(row["subject"], []).append(made(row))
    return {who: each[:most] for who, each in found.items()}


def _of(people: Sequence[str], found: Mapping[str, Rows]) -> Rows:
    return [row for who in people for row in found.get(who, [])]


def _asked_of(read: Mapping[str, Rows]) -> dict[str, dict[str, Rows]]:
    """Probe, or texts of members -> the rows about each person; attacks with a beginning of their own apart."""
    found = {of: _by_person(read[of], partial(_asked, of)) for of in PROBES}
    attacks = found["forget_level3"]
    found[SUFFIX] = {who: [row for row in each if row["suffix"]] for who, each in attacks.items()}
    found["forget_level3"] = {who: [row for row in each if not row["suffix"]] for who, each in attacks.items()}
    return found | {of: _by_person(read[of], _text) for of in MEMBERS}


def _text(row: dict) -> dict:
    return {"question": "", "answer": row["text"]}


def _asked(of: str, row: dict) -> dict:
    """A probe as it is asked, and whether it has the beginning of an answer of its own."""
    sort = row.get("type") if of == "forget_level3" else None
    asked = BLANK if of.endswith("level1") else BY_TYPE.get(sort, QUESTION)
    return {"question": asked.format(row["query"]), "answer": row["answer"], "suffix": sort == "affirmative suffix"}
