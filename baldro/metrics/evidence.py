"""Evidence: per-sample columns by section, whoever measured them: `samples` reads our own, `published` others' logs.

A column is a Series by sample index (a DataFrame, a column per wrong answer, for `wrong_*`), computed when it is first read:

    answer_loss, paraphrase_loss, wrong_loss                        nats per token, end of sequence included
    answer_probability, paraphrase_probability, wrong_probability   exp(-loss)
    truth_ratio                                                     only of logs that hold it, for want of losses
    rouge1_recall, rouge1_f1, rougeL_recall, rougeL_f1              of the generation against the answer
    exact_match                                                     of the generation: 1 if it is the answer, else 0
    exact_memorization, extraction_strength                         end of sequence left out
    attack_loss, attack_zlib, attack_min_k, attack_min_k_plus_plus, attack_gradnorm, attack_reference
    clean, repetition, length                                       of the generation
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from baldro.benchmarks import KINDS, Definition, Section
from baldro.errors import BaldroError, unknown
from baldro.records.evidence import ASKED

NO_RETAIN = "no retain model to compare with"
"""Why a metric is absent that compares with one."""


class Absent(Exception):
    """A column that a source does not have, and why: the metrics that need it are left out, with this reason."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """What metrics read."""

    kind: str
    """Kind of benchmark, which says the sections that there are."""
    where: str
    """What errors call it."""
    compute: Callable[[str, str], pd.Series | pd.DataFrame]
    """(section, column) -> values; raises Absent."""
    texts: Callable[[str], pd.DataFrame]
    """section -> what was asked and said, by (index, candidate): question, text, tokens, generation, as far as the source has them."""
    scores: Mapping[str, pd.Series] = field(default_factory=dict)
    """Metric of a task of lm-evaluation-harness -> value by question."""
    _read: dict[tuple[str, str], pd.Series | pd.DataFrame] = field(default_factory=dict)

    @property
    def benchmark(self) -> type[Definition]:
        """What the kind says of all its benchmarks."""
        return KINDS[self.kind]

    def section(self, name: str) -> Section:
        """A section as the kind asks it. Raises BaldroError where it has none of that name."""
        found = next((section for section in self.benchmark.sections if section.name == name), None)
        if found is None:
            raise unknown("section", name, [section.name for section in self.benchmark.sections], where=self.where)
        return found

    def has(self, section: str) -> bool:
        """Whether there are samples of a section: an optional one may have been left out."""
        try:
            self.texts(section)
        except Absent:
            return False
        return True

    def column(self, section: str, name: str) -> pd.Series | pd.DataFrame:
        """One column, indexed by sample. Raises Absent where the source has none, BaldroError where it is broken."""
        self.section(section)
        if (section, name) not in self._read:
            self._read[section, name] = self.compute(section, name)
        return self._read[section, name]


def check_same_rows(model: Evidence, retain: Evidence, section: str) -> None:
    """Raise BaldroError unless both scored the same samples of a section; texts are compared as far as both have them.

    Raises Absent where one of them has no samples of that section at all.
    """
    if model.kind != retain.kind:
        raise BaldroError(
            "other-kind", f"{retain.where}: of {retain.kind}, but {model.where} is of {model.kind}; both must be of one"
        )
    ours = model.texts(section)
    try:
        theirs = retain.texts(section)
    except Absent:
        raise Absent(f"the retain model's evidence has no samples of section {section}") from None
    one, other = (set(frame.index.get_level_values("index")) for frame in (ours, theirs))
    if one != other:
        raise BaldroError(
            "other-rows",
            f"{retain.where}: {len(other)} samples in section {section!r}, but {model.where} has {len(one)}, or others; "
            "both must be of the same split and rows",
        )
    if set(ASKED) <= set(ours) & set(theirs):
        for at in ours.index.symmetric_difference(theirs.index):
            lacks = model if at in theirs.index else retain
            raise BaldroError("other-rows", f"{lacks.where}: no {place(section, *at)}, which the other has")
    both, names = ours.index.intersection(theirs.index), [name for name in ASKED if name in ours and name in theirs]
    unequal = _plain(ours.loc[both, names]) != _plain(theirs.loc[both, names])
    for row, column in np.argwhere(unequal)[:1]:
        left, right = (frame.loc[both, names].iat[row, column][:60] for frame in (ours, theirs))
        raise BaldroError(
            "other-rows",
            f"{retain.where}: {names[column]} of {place(section, *both[row])} is {right!r} but {left!r} in {model.where}; "
            "both need the same rows",
        )
    if "sequence" in ours and "sequence" in theirs:
        other = ours.loc[both, "sequence"].ne(theirs.loc[both, "sequence"]) & ours.loc[both, "sequence"].notna()
        for at in both[other.to_numpy()][:1]:
            raise BaldroError(
                "other-tokens",
                f"{retain.where}: {place(section, *at)} was asked in another prompt or by another tokenizer than in {model.where}; "
                "both need the same token ids",
            )


def check_as_many_wrong(model: Evidence, retain: Evidence) -> None:
    """Raise BaldroError unless both were asked as many wrong answers of each sample, as far as both hold their losses."""
    try:
        ours, theirs = (evidence.column("forget", "wrong_loss").shape[1] for evidence in (model, retain))
    except Absent:
        return
    if ours != theirs:
        raise BaldroError(
            "unequal-wrong-answers",
            f"{retain.where}: {theirs} wrong answers of each sample in section 'forget', but {ours} in {model.where}; both need the same",
        )


def _plain(texts: pd.DataFrame) -> np.ndarray:
    """Texts without white space, which published logs clean up."""
    return texts.map(lambda text: "".join(text.split())).to_numpy(dtype=object)


def place(section: str, index: int, candidate: str) -> str:
    """How errors name a row of evidence."""
    return f"section {section!r} index {index} candidate {candidate!r}"
