"""A benchmark: its entry in benchmarks.yaml with types and bounds, and what its kind says of all its benchmarks.

A kind is a subclass in a file, or a folder, of `baldro.benchmarks.kinds`. What depends on the definition is a field or a method, what is
the same for every benchmark of the kind a class variable. Nothing here loads pandas: the workflow reads it in every job.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from baldro.benchmarks.harness import Harness
from baldro.benchmarks.section import Section

if TYPE_CHECKING:
    import pandas as pd

    from baldro.benchmarks.rows import Table

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
Places = Annotated[list[str], Field(min_length=1)]
"""Places to take something from, of which the first that exists is used (`baldro.places`)."""
Splits = Annotated[dict[str, str], Field(min_length=1)]
"""Forget split -> another split."""
ATTACKS = ("loss", "zlib", "min_k", "min_k_plus_plus", "gradnorm", "reference")
MEMBERSHIP = (*(f"mia_{attack}" for attack in ATTACKS), "privleak")
"""Metrics that a kind with members and non-members has."""


@dataclass(frozen=True)
class Score:
    """A value that is made of other metrics; it is absent where one of them is."""

    how: str
    """mean; harmonic mean, of 1 - x where less is better; distance from chance, of one AUC (`baldro.metrics.own`)."""
    of: tuple[str, ...]
    """Names of metrics, those of lm-evaluation-harness included (`baldro.benchmarks.harness`)."""


@dataclass(frozen=True, kw_only=True)
class OwnMetric:
    """A metric of one kind of benchmark: the mean of a value per sample, or a score, with everything that any such metric has."""

    name: str
    label: str
    """In sentences and on axes."""
    short: str
    """At the head of a column."""
    better: str
    """up, down, or empty where neither direction is better."""
    source: str
    """Where the definition comes from."""
    values: Callable[[Any], "pd.Series"] | Score
    """Evidence (`baldro.metrics.evidence`) -> value of each sample, by its index."""
    low: float = 0.0
    high: float = 1.0
    """Range."""
    unit: str = ""
    shown: Mapping[str, float] = field(default_factory=dict)
    """Where it is shown beside the main table (roles of `baldro.metrics.metric`), and its place there."""


class Definition(BaseModel):
    """What every benchmark has, of whatever kind."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    form_of: ClassVar[str] = ""
    """The kind whose sections it has, if it is a form of another: metrics of that kind, and its layout of published logs, are its too."""
    sections: ClassVar[tuple[Section, ...]]
    """What is asked of a model; one is called `forget`."""
    metrics: ClassVar[tuple[str, ...]]
    """Names of metrics that it has, of `baldro.metrics.catalogue` and its own."""
    own_metrics: ClassVar[tuple[OwnMetric, ...]] = ()
    """Metrics that no other kind has."""
    columns: ClassVar[tuple[str, ...]]
    """Metrics in the main table."""
    memorised: ClassVar[str] = "forget"
    """Section on which exact memorisation and extraction strength are taken."""
    compared: ClassVar[tuple[tuple[str, str], ...]] = (("forget", "answer_loss"),)
    """(section, column of the evidence) by which a model is known again: two trainings never agree on all samples."""
    retain_compulsory: ClassVar[bool] = False
    """Whether a run without a retain model is refused; otherwise metrics that compare with one are absent without it, and say so."""

    kind: str = Field(description="What sort of benchmark it is; the keys below `kind` differ by it.")
    forget: Splits = Field(description="Forget split -> its retain split; the ratios that a grid may name.")
    evaluate_rows: Count | None = Field(
        None, description="Score only the first so many rows of each section; all by default."
    )
    max_new_tokens: Count = Field(200, description="Longest generation.")
    gradient_norms: bool = Field(
        False,
        description="Take the gradient norm of each member and non-member, for the membership attack by it: a backward pass a sample, "
        "and memory for a gradient.",
    )
    fluency: Places | None = Field(
        None,
        description="Places of the fluency classifier (madhurjindal/autonlp-Gibberish-Detector-492513457), as under `source`. The one list "
        "that may lead nowhere: the metric fluency is then absent and says so. None by default.",
    )
    lm_eval: Harness | None = Field(
        None,
        description="Tasks of lm-evaluation-harness (TruthfulQA, GSM8K, ...), asked of every model beside the benchmark's own questions.",
    )
    rows: dict[str, Count] | None = Field(None, description="Rows by split; only `baldro plan` reads it.")
    tokens_per_row: Positive | dict[str, Positive] | None = Field(
        None,
        description="Mean tokens of prompt and answer, one number or by split; only `baldro plan` reads it.",
    )

    @classmethod
    def data_keys(cls) -> tuple[str, ...]:
        """Keys that make its records: the kind's own, `kind` and `forget`. A change of another makes no row anew."""
        shared = Definition.model_fields.keys() - {"kind", "forget"}
        return tuple(name for name in cls.model_fields if name not in shared)

    @property
    def other_answers(self) -> tuple[str, ...]:
        """Kinds of other answers to its forget questions: idk ("I do not know"), alternates (another answer)."""
        return ()

    @property
    def new_tokens(self) -> int:
        """The longest continuation that any of its sections asks for."""
        return max((s.max_new_tokens or self.max_new_tokens for s in self.sections if s.generate), default=0)

    def held_out(self, split: str) -> str | None:
        """The split of rows that no model saw, which a membership attack holds a forget split against; None: there is none."""
        return None

    def sizes(self) -> Mapping[str, int] | None:
        """Rows by split: as defined, or computed where the kind can; None: unknown."""
        return self.rows

    @cached_property
    def counted(self) -> Mapping[str, int] | None:
        """`sizes`, counted once: a plan asks for them of every run."""
        return self.sizes()

    def tables(self) -> Mapping[str, "Table"]:
        """What it is read from, by name; none if it is generated."""
        return {}

    def files(self, *, what: str) -> list[str]:
        """The local files that it is read from: none if it is generated or comes from the hub.

        Args:
            what: the benchmark, for errors.

        Raises:
            BaldroError: places that are nowhere.
        """
        return sorted({str(path) for table in self.tables().values() for path in table.files(what=what)})

    @abstractmethod
    def load(self) -> "pd.DataFrame":
        """Its records, checked (`baldro.records.benchmark`); splits `full`, `base` and those of `forget` are what models are trained on.

        Raises:
            BaldroError: data that are not there, cut short, or contradict each other.
        """
