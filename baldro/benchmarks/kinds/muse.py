"""MUSE, running text (Shi et al. 2024, arXiv 2407.06460)."""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from baldro.benchmarks.definition import MEMBERSHIP, Count, Definition, Places, Splits
from baldro.benchmarks.section import Section
from baldro.errors import BaldroError
from baldro.places import resolve

if TYPE_CHECKING:
    import pandas as pd

MUSE = {
    "forget_knowmem": "knowmem/forget_qa",
    "retain_knowmem": "knowmem/retain_qa",
    "forget_knowmem_icl": "knowmem/forget_qa_icl",
    "retain_knowmem_icl": "knowmem/retain_qa_icl",
    "verbmem": "verbmem/forget",
    "privleak_forget": "privleak/forget",
    "privleak_holdout": "privleak/holdout",
    "privleak_retain": "privleak/retain",
}
"""Split -> where MUSE has it: subset and split on the hub, subset/split.json in a folder."""
MUSE_RAW = {"forget": "raw/forget", "retain": "raw/retain1"}
"""The same for the text that models are trained on, which a folder may lack."""
FOLDS = {f"{sort}_{i}": f"{sort}/forget_{i}" for sort in ("scal", "sust") for i in (1, 2, 3, 4)}
"""The same for what is forgotten in the studies of scalability (each holds the one before) and sustainability (no two share a text)."""
PIECE_WORDS = 350
_QUIZ = dict(
    likelihood=False,
    max_new_tokens=32,
    prompt="Question: {question}\nAnswer: ",
    stop=("\n\n", "\nQuestion", "Question:"),
)
_EXCERPT = dict(prompt="{question}", generate=False, membership=True, end=False, longest=2048)


class Benchmark(Definition):
    """Questions about articles, passages to be continued, and excerpts; the settings are those of the published evaluation logs."""

    sections: ClassVar[tuple[Section, ...]] = (
        Section(name="forget_knowmem", split="forget_knowmem", shots="forget_knowmem_icl", **_QUIZ),
        Section(name="retain_knowmem", split="retain_knowmem", shots="retain_knowmem_icl", **_QUIZ),
        Section(name="verbmem", split="verbmem", prompt="{question}", between=" ", end=False, longest=128, max_new_tokens=128),
        Section(name="forget", split="privleak_forget", **_EXCERPT),
        Section(name="holdout", split="privleak_holdout", **_EXCERPT),
    )  # fmt: skip
    metrics: ClassVar[tuple[str, ...]] = (
        *("knowmem_forget", "verbmem_forget", "knowmem_retain", "verbmem_repetition", "verbmem_length"),
        *("exact_memorization", "extraction_strength"),
        *MEMBERSHIP,
    )
    columns: ClassVar[tuple[str, ...]] = (
        *("knowmem_forget", "verbmem_forget", "knowmem_retain", "privleak"),
        *("exact_memorization", "extraction_strength"),
    )
    memorised: ClassVar[str] = "verbmem"
    compared: ClassVar[tuple[tuple[str, str], ...]] = (("forget", "attack_min_k"), ("holdout", "attack_min_k"))

    kind: Literal["muse"] = Field(description="MUSE: running text.")
    source: Places = Field(
        description="Where the text is: a folder laid out as muse-bench/MUSE-News or MUSE-Books, or the hub."
    )
    forget: Splits = Field(
        description="{forget: retain}; of MUSE-News also scal_1 to scal_4 (more and more is to be forgotten) and sust_1 to sust_4 (one "
        "request after the other), each with retain. Questions and excerpts are in any case those about the first fold, which is `forget`."
    )
    train_on: Literal["raw", "excerpts"] = Field(
        "raw",
        description="The text that is learnt and forgotten. raw: the articles (on the hub, or raw/ in the folder). excerpts: those of "
        "privleak.",
    )
    piece_words: Count = Field(
        PIECE_WORDS, description="Longest piece of training text, in words; the model's positions must hold it."
    )
    texts: Count | None = Field(
        None,
        description="Keep only the first so many questions, passages and excerpts of each split; all by default.",
    )
    excerpt_words: Count | None = Field(
        None, description="Keep only the first so many words of each excerpt; all by default."
    )

    @model_validator(mode="after")
    def _splits_that_there_are(self) -> "Benchmark":
        allowed = {"forget", *FOLDS} if self.train_on == "raw" else {"forget"}
        if set(self.forget) - allowed or {*self.forget.values()} != {"retain"}:
            raise BaldroError(
                "value-not-allowed",
                f"forget: is {self.forget}; allowed: {{forget: retain}} or, with train_on raw, scal_1 to scal_4 and sust_1 to sust_4",
            )
        return self

    def files(self, *, what: str) -> list[str]:
        folder = resolve(self.source, what=what).path
        files = muse_files(folder, train_on=self.train_on, forget=self.forget).values() if folder else ()
        return sorted(str(path) for path in files if path.is_file())  # the loader says which is not there

    def load(self) -> "pd.DataFrame":
        from baldro.benchmarks.muse import load

        options = ("train_on", "piece_words", "texts", "excerpt_words")
        return load(self.source, forget=tuple(self.forget), **{name: getattr(self, name) for name in options})


def raw_places(forget: Collection[str]) -> dict[str, str]:
    """As MUSE_RAW, of these forget splits and the retain split."""
    return {**{name: FOLDS.get(name, MUSE_RAW["forget"]) for name in forget}, "retain": MUSE_RAW["retain"]}


def muse_files(folder: Path, *, train_on: str, forget: Collection[str] = ("forget",)) -> dict[str, Path]:
    """Split -> file of a MUSE folder that is read; the raw text only where it is trained on and, but for folds, there."""
    files = {split: folder / f"{place}.json" for split, place in MUSE.items()}
    raw = {split: folder / f"{place}.json" for split, place in raw_places(forget).items()}
    if train_on == "raw" and (any(path.is_file() for path in raw.values()) or not FOLDS.keys().isdisjoint(forget)):
        files |= raw
    return files
