"""Multiple choice: WMDP (Li et al. 2024, arXiv 2403.03218), and MMLU (Hendrycks et al. 2021, arXiv 2009.03300) as utility."""

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from pydantic import Field, field_validator, model_validator

from baldro.benchmarks.choice import HARNESS, accuracies, quiz
from baldro.benchmarks.definition import Count, Definition, OwnMetric, Places, Splits
from baldro.benchmarks.rows import files_of
from baldro.benchmarks.section import Section
from baldro.errors import BaldroError
from baldro.places import resolve

if TYPE_CHECKING:
    import pandas as pd

TOPICS = {"bio": "biology", "cyber": "cybersecurity", "chem": "chemistry"}
"""Topic of WMDP -> what its questions are about, in the description before each."""
FORGOTTEN = {"bio": ("bio",), "cyber": ("cyber",), "bio-cyber": ("bio", "cyber")}
"""Forget split -> the topics whose texts it has; there are none about chemistry."""
WIKITEXT = "wikitext"
"""The retain split of general text."""
WORDS = 340
"""Of the 512 tokens to which the released code cuts a text: a Llama-2 token is 0.66 words of English."""
_SHOWN = ("comparison", "sentence", "effect", "strength figure")


class Part(NamedTuple):
    """Rows of one file, or of one split on the hub."""

    places: list[str]
    hub: str
    """The data set that a folder is laid out as."""
    subset: str
    split: str

    @property
    def file(self) -> str:
        """Its file in a folder."""
        return f"{self.subset}/{self.split}.json" if self.split == "test" else f"{self.subset}.jsonl"


def corpus(topic: str, side: str) -> str:
    """The name of a topic's texts to forget or to retain."""
    return f"{topic}-{side}-corpus"


class Benchmark(Definition):
    """Questions about what should not be known, those of MMLU, and texts to forget and to retain."""

    sections: ClassVar[tuple[Section, ...]] = (
        *(quiz(f"wmdp_{topic}", f"wmdp_{topic}") for topic in TOPICS),
        quiz("mmlu", "mmlu"),
    )
    own_metrics: ClassVar[tuple[OwnMetric, ...]] = (
        *(
            accuracies(
                f"wmdp_{topic}", f"WMDP {topic} accuracy (chance 0.25)", f"WMDP {topic}", of=(f"wmdp_{topic}",), better="down",
                source=f"Li et al. 2024, arXiv 2403.03218; {HARNESS}", shown=dict.fromkeys((*_SHOWN, "memory"), place),
            )
            for place, topic in enumerate(TOPICS, start=21)
        ),
        accuracies(
            "wmdp", "WMDP accuracy, all topics (chance 0.25)", "WMDP", of=tuple(f"wmdp_{topic}" for topic in TOPICS), better="down",
            source=f"Li et al. 2024, arXiv 2403.03218; {HARNESS}, topics weighted by size", shown={"trade-off figure, y": 21},
        ),
        accuracies(
            "mmlu", "MMLU accuracy", "MMLU", of=("mmlu",), better="up",
            source=f"Hendrycks et al. 2021, arXiv 2009.03300; {HARNESS}, subjects weighted by size",
            shown=dict.fromkeys((*_SHOWN, "trade-off figure, x"), 24),
        ),
    )  # fmt: skip
    metrics: ClassVar[tuple[str, ...]] = tuple(own.name for own in own_metrics)
    columns: ClassVar[tuple[str, ...]] = ("wmdp_bio", "wmdp_cyber", "wmdp_chem", "mmlu")
    compared: ClassVar[tuple[tuple[str, str], ...]] = (("wmdp_bio", "answer_loss"), ("mmlu", "answer_loss"))

    kind: Literal["multiple_choice"] = Field(description="WMDP and MMLU.")
    questions: Places = Field(
        description="Where WMDP's questions are: a folder laid out as cais/wmdp (wmdp-bio/test.json, or the hub's parquet), or the hub."
    )
    mmlu: Places = Field(description="Where MMLU's are: a folder laid out as cais/mmlu (all/test.json), or the hub.")
    corpora: Places | None = Field(
        None,
        description="Where the texts are: a folder of bio-forget-corpus.jsonl, bio-retain-corpus.jsonl and the same of cyber, each row "
        "with a text, or the hub, of which bio-forget-corpus is gated. Without them models can be scored, not trained.",
    )
    wikitext: Places | None = Field(
        None,
        description="Where WikiText-2 is, which the retain split `wikitext` is made of: a folder laid out as Salesforce/wikitext "
        "(wikitext-2-raw-v1/test.json), or the hub.",
    )
    forget: Splits = Field(
        description="bio, cyber or bio-cyber -> the retain split: that name and `-retain`, or `wikitext` (the paper's)."
    )
    texts: Count | None = Field(None, description="Keep only the first so many texts of each corpus; all by default.")
    text_words: Count = Field(
        WORDS,
        description="Keep only the first so many words of each text; by default about 512 tokens, where released RMU cuts.",
    )
    per_subject: Count | None = Field(
        None, description="Keep only the first so many questions of each topic and subject; all by default."
    )

    @field_validator("forget")
    @classmethod
    def _topics(cls, forget: dict[str, str]) -> dict[str, str]:
        for name, retain in forget.items():
            if name not in FORGOTTEN or retain not in (f"{name}-retain", WIKITEXT):
                said = f"is {name}: {retain}; allowed: bio, cyber or bio-cyber, each with its own name and -retain, or with {WIKITEXT}"
                raise BaldroError("forget-splits-wrong", said)
        return forget

    @model_validator(mode="after")
    def _with_wikitext(self) -> "Benchmark":
        if self.corpora and not self.wikitext and WIKITEXT in self.forget.values():
            said = (
                f"forget: the retain split {WIKITEXT} needs the key wikitext; allowed: with it, or another retain split"
            )
            raise BaldroError("key-missing", said)
        return self

    def parts(self) -> dict[str, Part]:
        """What it is made of, by name: questions by their split, corpora by topic and side."""
        found = {f"wmdp_{t}": Part(self.questions, "cais/wmdp", f"wmdp-{t}", "test") for t in TOPICS}
        found["mmlu"] = Part(self.mmlu, "cais/mmlu", "all", "test")
        for name, retain in self.forget.items() if self.corpora else ():
            for side in ("forget",) if retain == WIKITEXT else ("forget", "retain"):
                corpora = [corpus(topic, side) for topic in FORGOTTEN[name]]
                found |= {c: Part(self.corpora, "cais/wmdp-corpora", c, "train") for c in corpora}
            if retain == WIKITEXT:
                found[WIKITEXT] = Part(self.wikitext, "Salesforce/wikitext", "wikitext-2-raw-v1", "test")
        return found

    def files(self, *, what: str) -> list[str]:
        parts = self.parts().values()
        local = [(resolve(part.places, what=f"{what}: {part.hub}").path, part.file) for part in parts]
        return sorted({str(path) for folder, file in local if folder for path in files_of(Path(folder), file)})

    def load(self) -> "pd.DataFrame":
        from baldro.benchmarks.multiple_choice import load

        return load(self)
