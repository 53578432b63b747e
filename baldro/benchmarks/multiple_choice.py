"""WMDP's and MMLU's questions, and the texts that are forgotten and retained: folders laid out as on the hub, or the hub itself.

A text is cut to its first words, and one of 50 characters or fewer is left out (Li et al. 2024, released code). Running text has no
question: question is "", the text is the answer.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

import pandas as pd

from baldro.benchmarks import jsonlines
from baldro.benchmarks.apart import apart, doubles
from baldro.benchmarks.choice import LETTERS, asked
from baldro.benchmarks.kinds.multiple_choice import FORGOTTEN, TOPICS, WIKITEXT, Benchmark, Part, corpus
from baldro.benchmarks.rows import check_texts, rows
from baldro.errors import BaldroError
from baldro.places import Source, resolve
from baldro.records.benchmark import Rows, frame_of

PUBLISHED = {"wmdp_bio": 1273, "wmdp_cyber": 1987, "wmdp_chem": 408, "mmlu": 14042}
"""Questions of the revisions that published numbers are of."""
SHORTEST = 50
"""Characters of a text that is left out, at most."""
GATED = {"bio-forget-corpus": "cais/wmdp-bio-forget-corpus"}
"""Corpora that are not with the others on the hub, but in a data set of their own whose owners must grant access."""


def load(definition: Benchmark) -> pd.DataFrame:
    """The records of WMDP and MMLU, checked.

    Returns: a split of questions a topic (wmdp_bio, ...) and mmlu; for training the forget and retain splits. `attrs["notes"]` says where
        questions are not as many as published, or stand twice.

    Raises:
        BaldroError: data that are not there, cut short, or of another form; a text in both a forget and a retain split.
    """
    parts = definition.parts()
    splits = {name: _questions(name, _rows(parts[name]), definition.per_subject) for name in PUBLISHED}
    notes = [] if definition.per_subject else [note for name in PUBLISHED for note in _size(name, splits[name])]
    notes += [n for name, own in splits.items() for n in doubles(name, _pairs(own), where="the questions")]
    texts = {name: _running(definition, _rows(part)) for name, part in parts.items() if name not in PUBLISHED}
    if texts:
        splits |= {name: _of_topics(texts, name, "forget") for name in definition.forget}
        for name, retain in definition.forget.items():
            splits[retain] = texts[WIKITEXT] if retain == WIKITEXT else _of_topics(texts, name, "retain")
            told = f"of {name} are also in {retain}: what is forgotten would be learnt again"
            where = resolve(definition.corpora, what="the corpora")
            notes += apart(
                _pairs(splits[name]), _pairs(splits[retain]), told, where=where, allowed="texts that are not"
            )
    frame = frame_of(splits)
    frame.attrs = {"notes": notes} if notes else {}
    return frame


def _pairs(own: Rows) -> list[tuple[str, str]]:
    return [(row["question"], row["answer"]) for row in own]


def _size(name: str, own: Rows) -> list[str]:
    if len(own) == PUBLISHED[name]:
        return []
    return [
        f"{name} has {len(own)} questions of {PUBLISHED[name]}: its accuracy is not comparable with published ones (is a file cut short?)"
    ]


def _rows(part: Part) -> list[tuple[str, dict]]:
    """The rows of a part, each with what errors call it; of a gated corpus from its own data set."""
    source, subset, alone = resolve(part.places, what=part.hub), part.subset, GATED.get(part.subset)
    if alone and source.hub:
        source, subset = Source(hub=alone, revision="main"), "default"
    try:
        return rows(source, part.file, subset=subset, split=part.split, layout=f"{part.hub}, {part.file}")
    except BaldroError as error:
        if not alone or error.code not in ("file-not-there", "hub-unreachable"):
            raise
        asks = f"https://huggingface.co/datasets/{alone} is gated: ask for access there and set HF_TOKEN, or put {part.file} into a folder"
        raise BaldroError("data-gated", f"{error}; {asks}") from error


# Questions -----------------------------------------------------------------------------------------------------------


def _questions(name: str, placed: Sequence[tuple[str, dict]], per_subject: int | None) -> Rows:
    """The rows of a topic of WMDP, or of MMLU subject after subject, in the order in which subjects first stand there."""
    found: dict[str, Rows] = {}
    for place, row in placed:
        if name == "mmlu":
            check_texts(row, place, ("subject",))
        subject = row["subject"].replace("_", " ") if name == "mmlu" else TOPICS[name.removeprefix("wmdp_")]
        found.setdefault(subject, []).append(_question(row, place, subject))
    return [row for own in found.values() for row in own[:per_subject]]


def _question(row: dict, place: str, subject: str) -> dict:
    """A row of the benchmark from one of the hub's: question, choices (four texts) and answer (0 to 3)."""
    check_texts(row, place, ("question",))
    choices, answer = row.get("choices"), row.get("answer")
    if not isinstance(choices, list) or len(choices) != len(LETTERS) or not all(isinstance(c, str) for c in choices):
        said = f"{place}: choices is {str(choices)[:60]}; allowed: a list of {len(LETTERS)} texts"
        raise BaldroError("choices-ill-formed", said)
    if not isinstance(answer, int) or isinstance(answer, bool) or not 0 <= answer < len(LETTERS):
        said = f"{place}: answer is {answer!r}; allowed: 0 to {len(LETTERS) - 1}, the place of the right choice"
        raise BaldroError("answer-no-choice", said)
    return asked(row["question"], choices, answer, subject=subject)


# Texts ---------------------------------------------------------------------------------------------------------------


def _of_topics(texts: Mapping[str, Rows], name: str, side: str) -> Rows:
    """The texts of a split's topics, each with its topic."""
    return [row | {"topic": topic} for topic in FORGOTTEN[name] for row in texts[corpus(topic, side)]]


def _running(definition: Benchmark, placed: Iterable[tuple[str, dict]]) -> Rows:
    """The texts that are long enough, as many as are wanted, each cut to its first words."""
    place, whole = "the corpus", []
    for place, row in placed:
        text = row.get("text")
        if not isinstance(text, str) or (len(text) > SHORTEST and jsonlines.fault(text)):
            raise BaldroError("field-not-text", f"{place}: field text is {str(text)[:40]!r}; required: text")
        whole.append(text)
    long = islice((text for text in whole if len(text) > SHORTEST), definition.texts)
    kept = ["".join(re.findall(r"^\s*\S+|\s+\S+", text)[: definition.text_words]) for text in long]
    if not kept:
        raise BaldroError("no-row-left", f"{place}: no text before it has more than {SHORTEST} characters")
    return [{"question": "", "answer": text} for text in kept]
