"""MUSE's rows -> what models are asked and trained on: articles in pieces, or excerpts that hold the passages to be continued."""

import re
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

from baldro.benchmarks.kinds.muse import FOLDS, MUSE, MUSE_RAW, Benchmark
from baldro.benchmarks.kinds.muse.doubts import doubts, folds_apart
from baldro.errors import BaldroError
from baldro.records.benchmark import frame_of

if TYPE_CHECKING:
    import pandas as pd

SEAM = 100
"""Words before a passage's continuation that must stand in an excerpt with it, for the passage to count as trained on."""
Rows = list[tuple[str, str]]  # question, answer


def load(definition: Benchmark) -> "pd.DataFrame":
    """MUSE's records, checked.

    Articles are joined by empty lines, as in the published trainer; a folder without them has no training splits. Where excerpts are
    trained on, verbmem keeps the passages that stand in the ones to be forgotten. `texts` cuts neither few-shot examples nor articles.

    Returns: the splits of MUSE, and for training the forget splits, retain, full (all that is forgotten, once, and retain), and base, for
        a model that is built from scratch: the retained excerpts that `retain` does not have; never one to be forgotten or held out.
        `attrs["notes"]` has a line for each kind of doubtful rows that are few enough to be let through.
    """
    source, splits = definition.tables()["verbmem"].source, _read(definition)
    articles = {name: splits.pop(name) for name in definition.forget if name in splits}
    notes = folds_apart(articles, where=source)
    if articles:
        splits["forget"] = _together(articles.values())
    notes += doubts(splits, where=source)
    if (words := definition.excerpt_words) is not None:
        splits |= {name: _begun(rows, words) for name, rows in splits.items() if name.startswith("privleak")}
    if definition.train_on == "excerpts":
        splits = _passages_first(splits)
    kept = {name: splits[name] if name.endswith("_icl") else splits[name][: definition.texts] for name in MUSE}
    base = splits["privleak_retain"]  # no section asks for it
    if definition.train_on == "excerpts":
        base = base[len(kept["privleak_retain"]) :]
        kept["verbmem"] = [row for row in kept["verbmem"] if _stands_in(row, kept["privleak_forget"])]
        if not kept["verbmem"]:
            raise BaldroError(
                "no-row-left", "muse: no passage of verbmem stands in the excerpts; needs more texts or words"
            )
        trained = {part: _pieces(_texts(kept[f"privleak_{part}"]), definition.piece_words) for part in MUSE_RAW}
        whole = trained["forget"]
    elif articles:
        parts = {**articles, "retain": splits["retain"], "full": splits["forget"]}
        trained = {n: _pieces(["\n\n".join(_texts(own))], definition.piece_words) for n, own in parts.items()}
        whole = trained.pop("full")
    else:
        trained, whole = {}, []
    if trained:
        kept |= {"full": whole + trained["retain"], **trained}
        kept |= {"base": _pieces(_texts(base), definition.piece_words)} if base else {}
    rows = {name: [{"question": question, "answer": answer} for question, answer in own] for name, own in kept.items()}
    return frame_of(rows, notes)


def pieces(text: str, words: int) -> list[str]:
    """A text cut between words into as few pieces as have at most `words` words each, all about as long; joined they are the text."""
    parts = re.findall(r"^\s*\S+\s*|\S+\s*", text)
    count = -(-len(parts) // words)
    ends = [len(parts) * i // count for i in range(count + 1)]
    return ["".join(parts[a:b]) for a, b in pairwise(ends)]


def _pieces(texts: Iterable[str], words: int) -> Rows:
    return [("", piece) for text in texts for piece in pieces(text, words)]


def _together(splits: Iterable[Rows]) -> Rows:
    """The rows of the first split, and of each further one those that are not there yet."""
    found: Rows = []
    for rows_of in splits:
        there = set(found)
        found += [row for row in rows_of if row not in there]
    return found


def _texts(rows: Rows) -> list[str]:
    return [text for _, text in rows]


def _begun(rows: Rows, words: int) -> Rows:
    return [(question, "".join(re.findall(r"^\s*\S+|\s+\S+", text)[:words])) for question, text in rows]


def _passages_first(splits: Mapping[str, Rows]) -> dict[str, Rows]:
    """Passages of verbmem that are in an excerpt, and these excerpts in their order, before the others: so that few of both meet."""
    excerpts, passages = splits["privleak_forget"], splits["verbmem"]
    holders = {row: [e for e in excerpts if _stands_in(row, [e])] for row in passages}
    holding = list(dict.fromkeys(e for row in passages for e in holders[row]))
    others = [e for e in excerpts if e not in holding]
    return {
        **splits,
        "privleak_forget": holding + others,
        "verbmem": sorted(passages, key=lambda row: not holders[row]),
    }


def _stands_in(passage: tuple[str, str], excerpts: Rows) -> bool:
    prompt, continuation = passage
    seam = " ".join([*prompt.split()[-SEAM:], *continuation.split()])
    return any(seam in " ".join(text.split()) for _, text in excerpts)


def _read(definition: Benchmark) -> dict[str, Rows]:
    """The rows of each split as questions and answers; without the articles where a folder has none."""
    tables = definition.tables()
    articles = {name: table for name, table in tables.items() if name not in MUSE}
    there = FOLDS.keys() & articles or any(table.files() for table in articles.values())
    if tables["verbmem"].source.path and not there:
        tables = {name: tables[name] for name in MUSE}
    return {n: [("", *(row[key] for key in table.needed))[-2:] for row in table.rows()] for n, table in tables.items()}
