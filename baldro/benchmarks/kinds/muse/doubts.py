"""What is doubtful in rows of MUSE's layout: counted before anything is trained on them."""

from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise

from baldro.benchmarks.apart import Pair, apart, doubles, few, plain
from baldro.benchmarks.kinds.muse import MUSE_RAW
from baldro.errors import BaldroError

LONG = 20
"""Words from which on a text that stands within another is not there by chance."""


def doubts(splits: Mapping[str, Sequence[Pair]], *, where: object) -> list[str]:
    """Notes on rows that would make a number wrong if they were many.

    Args:
        splits: those of `baldro.benchmarks.kinds.muse` MUSE and, where they are there, MUSE_RAW: question ("" of running text) and text.
        where: the data's place.

    Raises:
        BaldroError: they are many (`baldro.benchmarks.apart.FEW`).
    """
    notes, seen = [], "which are learnt: members that are also non-members"
    kept = "which are learnt and kept: what is forgotten would count as kept knowledge"
    forgotten, retained = (
        [text for name in (part, f"privleak_{part}") for _, text in splits.get(name, [])] for part in MUSE_RAW
    )
    for name, texts, part, why in (
        ("privleak_holdout", forgotten, "forget", seen),
        ("privleak_holdout", retained, "retain", seen),
        ("privleak_forget", retained, "retain", kept),
        ("verbmem", retained, "retain", kept),
        ("forget", retained, "retain", kept),
    ):
        own = [text for _, text in splits.get(name, [])]
        told = f"of {name} stand in the {part} texts, {why}"
        notes += few(_standing_in(own, texts), len(own), told, where=where, allowed="texts that do not")
    articles = [text for _, text in splits.get("forget", [])]
    if articles and not _standing_in([text for _, text in splits["privleak_forget"]], articles):
        notes.append(
            f"{where}: no excerpt of privleak_forget stands word by word in the forget texts: was a member learnt?"
        )
    for name, other, why in (
        ("forget_knowmem", "retain_knowmem", "what is forgotten would count as kept knowledge"),
        ("forget_knowmem", "forget_knowmem_icl", "the prompt would hold the answer"),
        ("retain_knowmem", "retain_knowmem_icl", "the prompt would hold the answer"),
    ):
        told = f"of {name} are also in {other}: {why}"
        notes += apart(splits[name], splits[other], told, where=where, allowed="questions that are not")
    return notes + [note for name, rows in splits.items() for note in doubles(name, rows, where=where)]


def folds_apart(folds: Mapping[str, Sequence[Pair]], *, where: object) -> list[str]:
    """Notes on the folds that are forgotten: each of scalability holds the ones before, no two of sustainability share a text.

    Raises:
        BaldroError: a fold that lacks a text of an earlier one or has none beyond it; many texts in two that share none.
    """
    scal, sust = (sorted(name for name in folds if name.startswith(sort)) for sort in ("scal_", "sust_"))
    for less, more in pairwise(scal):
        if not set(folds[less]) < set(folds[more]):
            raise BaldroError(
                "splits-cut-short",
                f"{where}: {more} ({len(folds[more])} texts) has not all of {less} ({len(folds[less])}) and more; is a file cut short?",
            )
    told = "of {} are also in {}: they would be forgotten twice"
    return [
        note
        for one, other in combinations(sust, 2)
        for note in apart(folds[one], folds[other], told.format(one, other), where=where, allowed="texts that are not")
    ]


def _standing_in(texts: Sequence[str], others: Sequence[str]) -> int:
    """How many texts are one of the others, or, if they are long enough to be told by their words, a part of one."""
    normal = [plain(("", text))[1] for text in others]
    known, joined = set(normal), "\n".join(normal)
    own = [plain(("", text))[1] for text in texts]
    return sum(text in known or (text.count(" ") >= LONG and text in joined) for text in own)
