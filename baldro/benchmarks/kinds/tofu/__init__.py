"""TOFU's rows, or others in its schema: questions and answers, with paraphrases and wrong answers (Maini et al. 2024, arXiv 2401.06121).

They are in a folder of JSON lines named as on the hub, or in the hub's locuslab/TOFU: 4,000 question-answer pairs about 200 invented
authors, 20 each. 4,000 pairs are unique but only 3,999 questions: rows are keyed by their position. `full` is retain90 and then forget10.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from baldro.benchmarks.definition import MEMBERSHIP, Count, Definition, Places, Splits
from baldro.benchmarks.kinds.tofu.alternates import alternate_files
from baldro.benchmarks.rows import Table
from baldro.benchmarks.section import Section
from baldro.errors import BaldroError, unknown

if TYPE_CHECKING:
    import pandas as pd

FIXED = ("full", "base", "retain_perturbed", "real_authors_perturbed", "world_facts_perturbed")
"""Names that TOFU's schema has given away."""
OPTIONS = FIXED[-2:]
"""Perturbed splits without paraphrases: their wrong answers are options. The base model learns them."""
SCORES = ("probability", "rouge", "truth_ratio")
ROUGES = ("rouge1_recall", "rouge1_f1", "rougeL_f1")
PARTS = ("forget", "retain", "real_authors", "world_facts")


class QuestionsAndAnswers(Definition):
    """What all benchmarks in TOFU's schema share, wherever their rows come from; the settings are the published evaluation logs'."""

    sections: ClassVar[tuple[Section, ...]] = (
        Section(name="forget", split="{split}_perturbed", membership=True, paraphrase=True, wrong=5),
        Section(name="retain", split="retain_perturbed", paraphrase=True, wrong=5),
        Section(name="real_authors", split="real_authors_perturbed", wrong=3),
        Section(name="world_facts", split="world_facts_perturbed", wrong=3),
        Section(name="holdout", split="{holdout}", generate=False, membership=True, optional=True),
    )
    metrics: ClassVar[tuple[str, ...]] = (
        *("forget_quality", "forget_quality_d", "model_utility", "exact_memorization", "extraction_strength"),
        *(f"{part}_{score}" for part in PARTS for score in (*SCORES, *ROUGES)),
        *MEMBERSHIP,
        *("fluency", "forget_repetition", "forget_length", "retain_repetition", "retain_length"),
    )
    columns: ClassVar[tuple[str, ...]] = (
        *("forget_quality", "forget_quality_d", "model_utility"),
        *("exact_memorization", "extraction_strength", "forget_truth_ratio"),
    )
    compared: ClassVar[tuple[tuple[str, str], ...]] = (("forget", "truth_ratio"),)
    retain_compulsory: ClassVar[bool] = True  # forget quality is a test against one

    parts: dict[str, Annotated[list[str], Field(min_length=2)]] | None = Field(
        None,
        description="Forget split of the data -> names of the parts that its rows are cut into, in order and all of one length. Each part "
        "is named under `forget`, too, with one and the same retain split: requests that can be made one after the other.",
    )

    @model_validator(mode="after")
    def _parts_are_of_one_split(self) -> "QuestionsAndAnswers":
        names = [part for parts in (self.parts or {}).values() for part in parts]
        _check_free(names)
        for whole, parts in (self.parts or {}).items():
            retained = {self.forget.get(part) for part in parts} | {self.forget.get(whole, self.forget.get(parts[0]))}
            if len(retained) > 1 or None in retained or any(names.count(part) > 1 for part in parts):
                raise BaldroError(
                    "parts-ill-formed",
                    f"parts: {whole}: {', '.join(parts)}; allowed: names of forget splits, each once, with one retain split",
                )
        return self

    def data_split(self, split: str) -> str:
        """The forget split of the data in which a forget split's rows are: itself, or what it is a part of."""
        return next((whole for whole, parts in (self.parts or {}).items() if split in parts), split)

    def data_splits(self) -> dict[str, str]:
        """`forget`, of the splits that the data have."""
        return {self.data_split(name): retain for name, retain in self.forget.items()}


class Benchmark(QuestionsAndAnswers):
    """TOFU's rows, in a folder of JSON lines or on the hub."""

    kind: Literal["tofu"] = Field(description="TOFU's rows.")
    source: Places = Field(description="Where the rows are: a folder of JSON lines named as on the hub, or the hub.")
    forget: Splits = Field(
        description="Forget split -> its retain split; the ratios that a grid may name. Its wrong answers and paraphrases are in "
        "{split}_perturbed."
    )
    holdout: Splits | None = Field(
        None,
        description="Forget split -> the split of rows that no model saw, which membership attacks (mia_*, privleak) hold it against. A "
        "forget split that is not named has no such metrics, nor any without this key. A part has that of its whole.",
    )
    retain_rows: Count | None = Field(
        None,
        description="Keep only the first so many rows of the smallest retain split (fewer real rows); all by default.",
    )
    alternates: Places | None = Field(
        None,
        description="Places of another answer to each forget question, as under `source`, but none on the hub: a file of JSON lines "
        "(question, answer, alternate_answer), or a folder of such files. For objectives that teach other answers; none by default.",
    )

    @field_validator("forget")
    @classmethod
    def _names_are_free(cls, forget: dict[str, str]) -> dict[str, str]:
        _check_free([*forget, *forget.values()])
        return forget

    @field_validator("holdout")
    @classmethod
    def _of_forget_splits(cls, held: dict[str, str] | None, info: ValidationInfo) -> dict[str, str] | None:
        parts, forget = info.data.get("parts") or {}, info.data.get("forget", held)
        allowed = sorted({*forget, *parts} - {name for names in parts.values() for name in names})
        for name in held or ():
            if name not in allowed:
                raise unknown("forget split", name, allowed)
        _check_free((held or {}).values())
        return held

    @property
    def other_answers(self) -> tuple[str, ...]:
        return ("idk", "alternates") if self.alternates else ("idk",)

    def held_out(self, split: str) -> str | None:
        return (self.holdout or {}).get(self.data_split(split))

    @property
    def wrong(self) -> dict[str, int]:
        """Split with wrong answers -> how many each of its rows has."""
        return {"retain_perturbed": 5, **dict.fromkeys(OPTIONS, 3), **{f"{n}_perturbed": 5 for n in self.data_splits()}}

    def tables(self) -> Mapping[str, Table]:
        forget, wrong, found = self.data_splits(), self.wrong, {}
        always, held = ("full", "retain_perturbed", *OPTIONS), (self.holdout or {}).values()
        for name in (*always, *forget, *forget.values(), *wrong, *held):
            needed = ("question", "answer", *["paraphrased_answer"] * (wrong.get(name) == 5))
            layout = "locuslab/TOFU, a file of JSON lines a split"
            found[name] = Table(self.source, "the TOFU data", layout, f"{name}.json", name, "train", needed)
        return found

    def files(self, *, what: str) -> list[str]:
        others = map(str, alternate_files(self.alternates, what=what))
        return sorted({*super().files(what=what), *others})

    def load(self) -> "pd.DataFrame":
        from baldro.benchmarks.kinds.tofu.loader import load
        from baldro.benchmarks.parts import cut

        return cut(load(self), self.parts, kept=self.forget)


def _check_free(names: Sequence[str]) -> None:
    for name in names:
        if name in FIXED:
            raise BaldroError(
                "split-name-taken", f"{name!r} is another split's name; allowed: any but {', '.join(FIXED)}"
            )
