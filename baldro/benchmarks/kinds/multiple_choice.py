"""Multiple choice: WMDP (Li et al. 2024, arXiv 2403.03218), and MMLU (Hendrycks et al. 2021, arXiv 2009.03300) as utility.

Questions and the texts that are forgotten and retained are in folders laid out as on the hub, or on the hub. A text is cut to its first
words, and one of 50 characters or fewer is left out (Li et al. 2024, released code). Running text has no question: question is "", the
text is the answer.
"""

import re
from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from baldro.benchmarks import jsonlines
from baldro.benchmarks.apart import apart, doubles
from baldro.benchmarks.choice import HARNESS, LETTERS, accuracies, asked, quiz
from baldro.benchmarks.definition import Count, Definition, OwnMetric, Places, Splits
from baldro.benchmarks.rows import Placed, Table
from baldro.benchmarks.section import Section
from baldro.errors import BaldroError
from baldro.records.benchmark import Rows, frame_of

if TYPE_CHECKING:
    import pandas as pd

TOPICS = {"bio": "biology", "cyber": "cybersecurity", "chem": "chemistry"}
"""Topic of WMDP -> what its questions are about, in the description before each."""
FORGOTTEN = {"bio": ("bio",), "cyber": ("cyber",), "bio-cyber": ("bio", "cyber")}
"""Forget split -> the topics whose texts it has; there are none about chemistry."""
WIKITEXT = "wikitext"
"""The retain split of general text."""
WORDS = 340
"""Of the 512 tokens to which the released code cuts a text: a Llama-2 token is 0.66 words of English."""
PUBLISHED = {"wmdp_bio": 1273, "wmdp_cyber": 1987, "wmdp_chem": 408, "mmlu": 14042}
"""Questions of the revisions that published numbers are of."""
SHORTEST = 50
"""Characters of a text that is left out, at most."""
GATED = {"bio-forget-corpus": "cais/wmdp-bio-forget-corpus"}
"""Corpora that are not with the others on the hub, but in a data set of their own whose owners must grant access."""
_SHOWN = ("comparison", "sentence", "effect", "strength figure")


class Benchmark(Definition):
    """Questions about what should not be known, those of MMLU, and texts to forget and to retain."""

    sections: ClassVar[tuple[Section, ...]] = (
        *(quiz(f"wmdp_{topic}", f"wmdp_{topic}") for topic in TOPICS),
        quiz("mmlu", "mmlu"),
    )
    own_metrics: ClassVar[tuple[OwnMetric, ...]] = (
        *(
            accuracies(
                f"wmdp_{topic}", f"WMDP {topic} accuracy (chance 0.25)", f"WMDP {topic}", of=(f"wmdp_{topic}",), better="down",
                source=f"Li et al. 2024, arXiv 2403.03218; {HARNESS}", shown=dict.fromkeys((*_SHOWN, "memory"), place),
            )
            for place, topic in enumerate(TOPICS, start=21)
        ),
        accuracies(
            "wmdp", "WMDP accuracy, all topics (chance 0.25)", "WMDP", of=tuple(f"wmdp_{topic}" for topic in TOPICS), better="down",
            source=f"Li et al. 2024, arXiv 2403.03218; {HARNESS}, topics weighted by size", shown={"trade-off figure, y": 21},
        ),
        accuracies(
            "mmlu", "MMLU accuracy", "MMLU", of=("mmlu",), better="up",
            source=f"Hendrycks et al. 2021, arXiv 2009.03300; {HARNESS}, subjects weighted by size",
            shown=dict.fromkeys((*_SHOWN, "trade-off figure, x"), 24),
        ),
    )  # fmt: skip
    metrics: ClassVar[tuple[str, ...]] = tuple(own.name for own in own_metrics)
    columns: ClassVar[tuple[str, ...]] = ("wmdp_bio", "wmdp_cyber", "wmdp_chem", "mmlu")
    compared: ClassVar[tuple[tuple[str, str], ...]] = (("wmdp_bio", "answer_loss"), ("mmlu", "answer_loss"))

    kind: Literal["multiple_choice"] = Field(description="WMDP and MMLU.")
    questions: Places = Field(
        description="Where WMDP's questions are: a folder laid out as cais/wmdp (wmdp-bio/test.json, or the hub's parquet), or the hub."
    )
    mmlu: Places = Field(description="Where MMLU's are: a folder laid out as cais/mmlu (all/test.json), or the hub.")
    corpora: Places | None = Field(
        None,
        description="Where the texts are: a folder of bio-forget-corpus.jsonl, bio-retain-corpus.jsonl and the same of cyber, each row "
        "with a text, or the hub, of which bio-forget-corpus is gated. Without them models can be scored, not trained.",
    )
    wikitext: Places | None = Field(
        None,
        description="Where WikiText-2 is, which the retain split `wikitext` is made of: a folder laid out as Salesforce/wikitext "
        "(wikitext-2-raw-v1/test.json), or the hub.",
    )
    forget: Splits = Field(
        description="bio, cyber or bio-cyber -> the retain split: that name and `-retain`, or `wikitext` (the paper's)."
    )
    texts: Count | None = Field(None, description="Keep only the first so many texts of each corpus; all by default.")
    text_words: Count = Field(
        WORDS,
        description="Keep only the first so many words of each text; by default about 512 tokens, where released RMU cuts.",
    )
    per_subject: Count | None = Field(
        None, description="Keep only the first so many questions of each topic and subject; all by default."
    )

    @field_validator("forget")
    @classmethod
    def _topics(cls, forget: dict[str, str]) -> dict[str, str]:
        for name, retain in forget.items():
            if name not in FORGOTTEN or retain not in (f"{name}-retain", WIKITEXT):
                said = f"is {name}: {retain}; allowed: bio, cyber or bio-cyber, each with its own name and -retain, or with {WIKITEXT}"
                raise BaldroError("forget-splits-wrong", said)
        return forget

    @model_validator(mode="after")
    def _with_wikitext(self) -> "Benchmark":
        if self.corpora and not self.wikitext and WIKITEXT in self.forget.values():
            said = (
                f"forget: the retain split {WIKITEXT} needs the key wikitext; allowed: with it, or another retain split"
            )
            raise BaldroError("key-missing", said)
        return self

    def tables(self) -> Mapping[str, Table]:
        """By name: questions by their split, corpora by topic and side (bio-forget-corpus)."""

        def table(places: list[str], hub: str, subset: str, file: str, *needed: str) -> Table:
            split = "test" if file.endswith("/test.json") else "train"
            return Table(places, hub, f"{hub}, {file}", file, subset, split, needed)

        found = {
            f"wmdp_{t}": table(self.questions, "cais/wmdp", f"wmdp-{t}", f"wmdp-{t}/test.json", "question")
            for t in TOPICS
        }
        found["mmlu"] = table(self.mmlu, "cais/mmlu", "all", "all/test.json", "question", "subject")
        for name, retain in self.forget.items() if self.corpora else ():
            for side in ("forget",) if retain == WIKITEXT else ("forget", "retain"):
                for each in (f"{topic}-{side}-corpus" for topic in FORGOTTEN[name]):
                    found[each] = table(self.corpora, "cais/wmdp-corpora", each, f"{each}.jsonl")
            if retain == WIKITEXT:
                subset = "wikitext-2-raw-v1"
                found[WIKITEXT] = table(self.wikitext, "Salesforce/wikitext", subset, f"{subset}/test.json")
        return found

    def load(self) -> "pd.DataFrame":
        """A split of questions a topic (wmdp_bio, ...) and mmlu; for training the forget and retain splits."""
        tables = self.tables()
        splits = {name: _questions(name, tables[name].placed(), self.per_subject) for name in PUBLISHED}
        notes = [] if self.per_subject else [note for name in PUBLISHED for note in _size(name, splits[name])]
        notes += [note for name, own in splits.items() for note in doubles(name, _pairs(own), where="the questions")]
        texts = {name: self._running(_placed(each)) for name, each in tables.items() if name not in PUBLISHED}
        if not texts:
            return frame_of(splits, notes)
        splits |= {name: _of_topics(texts, name, "forget") for name in self.forget}
        for name, retain in self.forget.items():
            splits[retain] = texts[WIKITEXT] if retain == WIKITEXT else _of_topics(texts, name, "retain")
            told = f"of {name} are also in {retain}: what is forgotten would be learnt again"
            where = tables[f"{FORGOTTEN[name][0]}-forget-corpus"].source
            pairs = _pairs(splits[name]), _pairs(splits[retain])
            notes += apart(*pairs, told, where=where, allowed="texts that are not")
        return frame_of(splits, notes)

    def _running(self, placed: Placed) -> Rows:
        """The texts that are long enough, as many as are wanted, each cut to its first words."""
        place, whole = "the corpus", []
        for place, row in placed:
            text = row.get("text")
            if not isinstance(text, str) or (len(text) > SHORTEST and jsonlines.fault(text)):
                raise BaldroError("field-not-text", f"{place}: field text is {str(text)[:40]!r}; required: text")
            whole.append(text)
        long = islice((text for text in whole if len(text) > SHORTEST), self.texts)
        kept = ["".join(re.findall(r"^\s*\S+|\s+\S+", text)[: self.text_words]) for text in long]
        if not kept:
            raise BaldroError("no-row-left", f"{place}: no text before it has more than {SHORTEST} characters")
        return [{"question": "", "answer": text} for text in kept]


def _pairs(own: Rows) -> list[tuple[str, str]]:
    return [(row["question"], row["answer"]) for row in own]


def _size(name: str, own: Rows) -> list[str]:
    said = f"{name} has {len(own)} questions of {PUBLISHED[name]}: its accuracy is not comparable with published ones"
    return [] if len(own) == PUBLISHED[name] else [f"{said} (is a file cut short?)"]


def _of_topics(texts: Mapping[str, Rows], name: str, side: str) -> Rows:
    """The texts of a split's topics, each with its topic."""
    return [row | {"topic": topic} for topic in FORGOTTEN[name] for row in texts[f"{topic}-{side}-corpus"]]


def _placed(table: Table) -> Placed:
    """The rows of a corpus; of a gated one from its own data set."""
    alone = GATED.get(table.subset)
    if alone and table.source.hub:
        table = table._replace(places=[f"hub:{alone}@main"], subset="default")
    try:
        return table.placed()
    except BaldroError as error:
        if not alone or error.code not in ("file-not-there", "hub-unreachable"):
            raise
        asks = f"https://huggingface.co/datasets/{alone} is gated: ask for access there and set HF_TOKEN, or put {table.file} into a folder"
        raise BaldroError("data-gated", f"{error}; {asks}") from error


def _questions(name: str, placed: Placed, per_subject: int | None) -> Rows:
    """The rows of a topic of WMDP, or of MMLU subject after subject, in the order in which subjects first stand there."""
    found: dict[str, Rows] = {}
    for place, row in placed:
        subject = row["subject"].replace("_", " ") if name == "mmlu" else TOPICS[name.removeprefix("wmdp_")]
        found.setdefault(subject, []).append(_question(row, place, subject))
    return [row for own in found.values() for row in own[:per_subject]]


def _question(row: dict, place: str, subject: str) -> dict:
    """A row of the benchmark from one of the hub's: question, choices (four texts) and answer (0 to 3)."""
    choices, answer = row.get("choices"), row.get("answer")
    if not isinstance(choices, list) or len(choices) != len(LETTERS) or not all(isinstance(c, str) for c in choices):
        said = f"{place}: choices is {str(choices)[:60]}; allowed: a list of {len(LETTERS)} texts"
        raise BaldroError("choices-ill-formed", said)
    if not isinstance(answer, int) or isinstance(answer, bool) or not 0 <= answer < len(LETTERS):
        said = f"{place}: answer is {answer!r}; allowed: 0 to {len(LETTERS) - 1}, the place of the right choice"
        raise BaldroError("answer-no-choice", said)
    return asked(row["question"], choices, answer, subject=subject)
