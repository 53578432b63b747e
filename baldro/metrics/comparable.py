"""Whether a retain model's evidence is what a model can be compared with: it has what is compared, and is of another model."""

import numpy as np
import pandas as pd

from baldro.errors import BaldroError
from baldro.metrics.definitions import ratios
from baldro.metrics.evidence import Absent, Evidence, place

SINGLE = 1e-6  # relative rounding of values that were kept in single precision


def check_comparable(retain: Evidence) -> None:
    """Raise BaldroError unless a retain model's evidence has samples of what it is compared on: the forget set, or the holdout."""
    for section in _compared(retain):
        try:
            retain.texts(section)
        except Absent:
            continue
        return
    raise BaldroError(
        "nothing-to-compare",
        f"{retain.where}: no samples of the forget set, nor of the holdout, which are what a retain model is compared on; "
        "give the evidence of the retain model on the same split, or --alone",
    )


def check_same_tokens(model: Evidence, retain: Evidence) -> None:
    """Raise BaldroError where an answer has other numbers of tokens in two pieces of evidence of ours: another tokenizer's."""
    for section in _compared(model):
        try:
            ours, theirs = (evidence.texts(section) for evidence in (model, retain))
        except Absent:
            continue
        if "tokens" not in ours or "tokens" not in theirs:
            continue
        both = ours.index.intersection(theirs.index)
        one, other = ours.loc[both, "tokens"], theirs.loc[both, "tokens"]
        for at in both[one.to_numpy() != other.to_numpy()][:1]:
            raise BaldroError(
                "other-tokens",
                f"{retain.where}: {place(section, *at)} has {other[at]} tokens, but {one[at]} in {model.where}; "
                "both need one tokenizer and one prompt",
            )


def same_model(model: Evidence, retain: Evidence) -> bool:
    """Whether two pieces of evidence are one model's: what both are compared by is equal to single precision, sample by sample.

    Compared by what the kind of benchmark names: two trainings never agree on all.
    """
    if model.kind != retain.kind:
        return False
    try:
        pairs = [[_values(e, *at) for e in (model, retain)] for at in model.benchmark.compared]
    except Absent:
        return False
    return all(
        len(ours) == len(theirs) and set(ours.index) == set(theirs.index)
        and np.allclose(ours, theirs[ours.index], rtol=SINGLE, atol=0)
        for ours, theirs in pairs
    )  # fmt: skip


def _values(evidence: Evidence, section: str, column: str) -> pd.Series:
    """A column; truth ratios are made of two of them."""
    return ratios(evidence, section) if column == "truth_ratio" else evidence.column(section, column)


def _compared(evidence: Evidence) -> list[str]:
    """Sections that a retain model is compared on, or known by."""
    members = [section.name for section in evidence.benchmark.sections if section.membership]
    return list(dict.fromkeys([*members, *(section for section, _ in evidence.benchmark.compared)]))
