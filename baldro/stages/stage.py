"""What a stage says of itself: the one interface between a stage's file and every other room."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

TRAINING = (
    "lr",
    "epochs",
    "max_steps",
    "batch_size",
    "weight_decay",
    "warmup_epochs",
    "schedule",
    "clip_norm",
    "precision",
    "optimiser",
    "lora_rank",
    "seed",
)
"""Fields of every training."""
LORA = ("lora_alpha", "lora_dropout", "lora_start", "lora_base")
"""Fields of a training of adapters."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of run of a stage; most stages have one."""

    label: str
    """Its name in tables."""
    parent: Literal["never", "optional", "required"] = "never"
    """Whether a run of it starts from the model of another row of the grid."""
    asks: str = ""
    """A field of the stage without which there is no run of it, and by which a block that names only the stage means it."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What a run without a parent starts from."""

    part: str
    """The place in its model's entry (build, base, target, retain90, ...) where no run makes that model."""
    stage: str | None = None
    """The stage whose run makes it, with the settings that the model's entry has under the stage's name; None: no run does."""
    split: str = ""
    """The split of that run."""


class Chosen(NamedTuple):
    """The values that decide which other fields of a run matter."""

    objective: str
    variant: str
    robust_scope: str
    dv_level: str
    combiner: str
    retain_variant: str
    lora: bool
    """Whether the run has a lora_rank."""


class Stage:
    """What a run does with the model that it starts from. A subclass in a file of this folder is a stage, by the file's name."""

    kinds: Mapping[str, Kind]
    """Fourth place of an id, or first word of a child's suffix -> the kind of run."""
    trains: bool = True
    """True if it leaves a model of its own; otherwise the model that it starts from is what is scored."""
    forgets: bool = False
    """True if it trains by an objective and a variant, on a forget split and its retain split."""
    temporary: bool = False
    """True if its model is deleted once it is scored and no run is left that starts from it."""
    tabled: bool = False
    """True if its runs are scored and are rows of the tables."""
    fields: Mapping[str, Mapping[str, Any]] = {}
    """Its own hyperparameters: field -> kind, default, bounds or choices, text; as the methods declare theirs."""
    defaults: Mapping[str, Any] = {}
    """Usual values of fields that are not its own."""

    def matters(self, chosen: Chosen) -> set[str]:
        """The hyperparameters that matter to its runs."""
        training = {*TRAINING, *(LORA if chosen.lora else ())} if self.trains else set()
        return training | set(self.fields)

    def origin(self, run: Any, model: Mapping[str, Any], retain_split: str | None) -> Origin:
        """What a run without a parent starts from.

        Args:
            run: a Run of this stage (baldro.runs is a later room).
            model: the entry of its model.
            retain_split: the counterpart of its split; None if that is no forget split.
        """
        return target(model)

    def learns(self, run: Any, retain_split: str | None) -> str:
        """The split that a stage which does not forget is trained on."""
        return run.split


def target(model: Mapping[str, Any]) -> Origin:
    """The model that unlearning starts from: published, or finetuned on all rows."""
    return Origin(part="target", stage=None if "target" in model else "finetune", split="full")
