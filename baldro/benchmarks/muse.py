"""MUSE (Shi et al. 2024, arXiv 2407.06460): a folder laid out as the hub's muse-bench/MUSE-News or MUSE-Books, or the hub itself.

Questions with short answers (knowmem), passages to be continued (verbmem), and excerpts of 2,048 Llama-2 tokens that were, or were
not, trained on (privleak). The articles themselves (raw) are on the hub only; the excerpts are real text of the same articles, and
`train_on: excerpts` learns and forgets those. Running text has no question: question is "", the text is the answer.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import pandas as pd

from baldro.benchmarks.kinds.muse import MUSE, MUSE_RAW, PIECE_WORDS, muse_files, raw_places
from baldro.benchmarks.muse_doubts import doubts, folds_apart
from baldro.benchmarks.rows import check_texts, rows
from baldro.errors import BaldroError
from baldro.places import Source, resolve
from baldro.records.benchmark import frame_of

FIELDS = {"knowmem": ("question", "answer"), "verbmem": ("prompt", "gt")}
TEXT = ("text",)
"""Subset -> what a row must have, question and answer; in others TEXT, the answer alone."""
SEAM = 100
"""Words before a passage's continuation that must stand in an excerpt with it, for the passage to count as trained on."""
Rows = list[tuple[str, str]]  # question, answer


def load(
    places: Sequence[str],
    *,
    forget: Sequence[str] = ("forget",),
    train_on: str = "raw",
    piece_words: int = PIECE_WORDS,
    texts: int | None = None,
    excerpt_words: int | None = None,
) -> pd.DataFrame:
    """MUSE's records, checked.

    Args:
        places: where the rows are (see baldro.places).
        forget: the forget splits, of `baldro.benchmarks.kinds.muse` MUSE_RAW and FOLDS.
        train_on: raw: the articles, joined by empty lines as in the published trainer; a folder without them has no training
            splits. excerpts: those of privleak; verbmem then keeps the passages that stand in the ones to be forgotten.
        piece_words: longest piece of training text, in words (a Llama-2 token is 0.66 words of it).
        texts: only the first so many questions, passages and excerpts of each split, few-shot examples and articles excepted;
            all by default.
        excerpt_words: only the first so many words of each excerpt; all by default.

    Returns: the splits of `baldro.benchmarks.kinds.muse` MUSE, and for training the forget splits, retain, full (all that is forgotten,
        once, and retain), and base, for a model that is built from scratch: the retained excerpts that `retain` does not have; never one to
        be forgotten or held out.
        `attrs["notes"]` has a line for each kind of doubtful rows that are few enough to be let through.
    """
    source = resolve(places, what="the MUSE data")
    splits = _read(source, train_on, forget)
    articles = {name: splits.pop(name) for name in forget if name in splits}
    notes = folds_apart(articles, where=source)
    if articles:
        splits["forget"] = _together(articles.values())
    notes += doubts(splits, where=source)
    if excerpt_words is not None:
        splits |= {name: _begun(rows, excerpt_words) for name, rows in splits.items() if name.startswith("privleak")}
    if train_on == "excerpts":
        splits = _passages_first(splits)
    kept = {name: rows if name.endswith("_icl") else rows[:texts] for name, rows in splits.items() if name in MUSE}
    base = splits["privleak_retain"]  # no section asks for it
    if train_on == "excerpts":
        base = base[len(kept["privleak_retain"]) :]
        kept["verbmem"] = [row for row in kept["verbmem"] if _stands_in(row, kept["privleak_forget"])]
        if not kept["verbmem"]:
            raise BaldroError(
                "no-row-left", "muse: no passage of verbmem stands in the excerpts; needs more texts or words"
            )
        trained = {part: _pieces(_texts(kept[f"privleak_{part}"]), piece_words) for part in MUSE_RAW}
        whole = trained["forget"]
    elif articles:
        parts = {**articles, "retain": splits["retain"]}
        trained = {part: _pieces(["\n\n".join(_texts(own))], piece_words) for part, own in parts.items()}
        whole = _pieces(["\n\n".join(_texts(splits["forget"]))], piece_words)
    else:
        trained, whole = {}, []
    if trained:
        kept |= {"full": whole + trained["retain"], **trained}
        kept |= {"base": _pieces(_texts(base), piece_words)} if base else {}
    frame = frame_of(
        {name: [{"question": question, "answer": answer} for question, answer in rows] for name, rows in kept.items()}
    )
    frame.attrs = {"notes": notes} if notes else {}
    return frame


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


def _read(source: Source, train_on: str, forget: Sequence[str]) -> dict[str, Rows]:
    places = MUSE | (raw_places(forget) if train_on == "raw" else {})
    there = muse_files(source.path, train_on=train_on, forget=forget) if source.path else places
    return {split: _split(source, places[split]) for split in there}


def _split(source: Source, place: str) -> Rows:
    """The rows of a split as questions and answers."""
    subset, split = place.split("/")
    placed = rows(source, f"{place}.json", subset=subset, split=split, layout="muse-bench/MUSE-News, subset/split.json")
    for where, row in placed:
        check_texts(row, where, FIELDS.get(subset, TEXT))
    return [("", *(row[key] for key in FIELDS.get(subset, TEXT)))[-2:] for _, row in placed]
