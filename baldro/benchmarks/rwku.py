"""RWKU's people, their training texts and probes: a folder laid out as the hub's jinzhuoran/RWKU, or the hub itself.

Running text has no question: question is "", the text is the answer.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain, islice, zip_longest

import pandas as pd

from baldro.benchmarks import jsonlines
from baldro.benchmarks.apart import few
from baldro.benchmarks.kinds.rwku import CORPORA, MEMBERS, OTHERS, PROBES, SUFFIX, Benchmark, span
from baldro.benchmarks.rows import check_texts, rows
from baldro.errors import BaldroError, unknown
from baldro.places import Source, resolve
from baldro.records.benchmark import Rows, frame_of

BLANK = "Please complete the blank in the following question.\nQuestion: {}\n"
QUESTION = "Please briefly answer the following question.\nQuestion: {}\n"
BY_TYPE = {
    "affirmative suffix": QUESTION.rstrip("\n"),
    "incontext learning": "Please briefly answer the following question.\n{}\n",
}
"""Attacks that are not asked as questions are."""


def load(definition: Benchmark) -> pd.DataFrame:
    """Training texts of each forget split and of others, and for each forget split its probes and members.

    Raises:
        BaldroError: data that are not there, cut short, or of another form; people who are not among them, or of whom there is no row.
    """
    source = resolve(definition.source, what="RWKU's rows")
    everyone = [row["target"] for row in _read(definition, source, "forget_target", "target")]
    people = {name: _people(name, everyone, source) for name in definition.forget}
    corpus = _read(definition, source, CORPORA[definition.train_on][0], "subject")
    whole = [row for row in corpus if not jsonlines.fault(row.get("text"))]
    told = dict(text="of the training text are empty or no text, and left out", allowed="texts", code="field-not-text")
    notes = few(len(corpus) - len(whole), len(corpus), where=source, **told)  # a model wrote them
    texts = _by_person(whole, _text, definition.texts)
    asked = {
        of: _by_person(_read(definition, source, of, "query", "answer", "subject"), partial(_asked, of))
        for of in PROBES
    }
    attacks = asked["forget_level3"]
    asked[SUFFIX] = {who: [row for row in own if row["suffix"]] for who, own in attacks.items()}
    asked["forget_level3"] = {who: [row for row in own if not row["suffix"]] for who, own in attacks.items()}
    asked |= {of: _by_person(_read(definition, source, of, "text", "subject"), _text) for of in MEMBERS}
    splits = {name: _of(own, texts) for name, own in people.items()}
    gone = {who for own in people.values() for who in own}
    in_turn = chain.from_iterable(zip_longest(*(texts.get(who, []) for who in everyone if who not in gone)))
    splits[OTHERS] = list(islice(filter(None, in_turn), max(map(len, splits.values()))))
    splits |= {f"{name}_{of}": _of(own, found) for name, own in people.items() for of, found in asked.items()}
    lacking = [name for name, own in splits.items() if not own and not name.endswith(SUFFIX)]
    if lacking:
        said = (
            f"{source}: no row for {', '.join(lacking)}; allowed: people of whom there is some (is a file cut short?)"
        )
        raise BaldroError("no-row-left", said)
    frame = frame_of(splits)
    frame.attrs = {"notes": notes} if notes else {}
    return frame


def _read(definition: Benchmark, source: Source, of: str, *needed: str) -> Rows:
    file, split = definition.places()[of]
    placed = rows(source, file, subset=of, split=split, layout="jinzhuoran/RWKU, All/intro.json and so on")
    for where, row in placed:
        check_texts(row, where, needed)
    return [row for _, row in placed]


def _people(name: str, everyone: Sequence[str], source: Source) -> list[str]:
    """The people of a forget split, as the data name them."""
    if found := span(name):
        if not 0 <= found[0] < found[1] <= len(everyone):
            said = f"forget: {name}; allowed: targets-FIRST-LAST of {len(everyone)} people in {source}"
            raise BaldroError("number-out-of-range", said)
        return list(everyone[slice(*found)])
    known = {_short(who): who for who in everyone}
    if name not in known:
        raise unknown("target", name, known, where=str(source))
    return [known[name]]


def _short(who: str) -> str:
    """A person's name in small letters without accents, with hyphens: Beyoncé is beyonce."""
    plain = unicodedata.normalize("NFKD", who).encode("ascii", "ignore").decode().lower()
    return re.sub("[^a-z0-9]+", "-", plain).strip("-")


def _by_person(own: Rows, made: Callable[[dict], dict], most: int | None = None) -> dict[str, Rows]:
    """The rows about each person, at most so many, as the benchmark has them."""
    found: dict[str, Rows] = {}
    for row in own:
        found.setdefault(row["subject"], []).append(made(row))
    return {who: each[:most] for who, each in found.items()}


def _of(people: Sequence[str], found: Mapping[str, Rows]) -> Rows:
    return [row for who in people for row in found.get(who, [])]


def _text(row: dict) -> dict:
    return {"question": "", "answer": row["text"]}


def _asked(of: str, row: dict) -> dict:
    """A probe as it is asked, and whether it has the beginning of an answer of its own."""
    sort = row.get("type") if of == "forget_level3" else None
    asked = BLANK if of.endswith("level1") else BY_TYPE.get(sort, QUESTION)
    return {"question": asked.format(row["query"]), "answer": row["answer"], "suffix": sort == "affirmative suffix"}
