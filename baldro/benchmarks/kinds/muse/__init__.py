"""MUSE (Shi et al. 2024, arXiv 2407.06460): a folder laid out as the hub's muse-bench/MUSE-News or MUSE-Books, or the hub itself.

Questions with short answers (knowmem), passages to be continued (verbmem), and excerpts of 2,048 Llama-2 tokens that were, or were
not, trained on (privleak). The articles themselves (raw) are on the hub only; the excerpts are real text of the same articles, and
`train_on: excerpts` learns and forgets those. Running text has no question: question is "", the text is the answer.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from baldro.benchmarks.definition import MEMBERSHIP, Count, Definition, Places, Splits
from baldro.benchmarks.rows import Table
from baldro.benchmarks.section import Section
from baldro.errors import BaldroError

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
FIELDS = {"knowmem": ("question", "answer"), "verbmem": ("prompt", "gt")}
"""Subset -> what a row has, question and answer; in others the text, which is the answer."""
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
        350, description="Longest piece of training text, in words; the model's positions must hold it."
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

    def tables(self) -> Mapping[str, Table]:
        raw = {name: FOLDS.get(name, MUSE_RAW["forget"]) for name in self.forget} | {"retain": MUSE_RAW["retain"]}
        found = {}
        for name, place in (MUSE | (raw if self.train_on == "raw" else {})).items():
            subset, split = place.split("/")
            layout, needed = "muse-bench/MUSE-News, subset/split.json", FIELDS.get(subset, ("text",))
            found[name] = Table(self.source, "the MUSE data", layout, f"{place}.json", subset, split, needed)
        return found

    def load(self) -> "pd.DataFrame":
        from baldro.benchmarks.kinds.muse.loader import load

        return load(self)
