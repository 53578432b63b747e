"""Nothing is done to a model: it is scored as it is. What every method is compared with, and models that were unlearned elsewhere."""

from collections.abc import Mapping
from typing import Any

from baldro.stages.stage import Chosen, Kind, Origin, Stage, target


class Unchanged(Stage):
    """Starts from the target (`original`), a retain model (`retain`), a published checkpoint or another row's model, and leaves none."""

    kinds = {
        "original": Kind(label="Original"),
        "retain": Kind(label="Retain"),
        "scored": Kind(label="Scored", parent="required"),
        "published": Kind(label="Published", asks="checkpoint"),
    }
    trains = False
    tabled = True
    fields = {
        "checkpoint": {
            "kind": str,
            "default": None,
            "text": "With `stage: none`: a model that was unlearned elsewhere, by its name under `checkpoints` in the model's entry.",
        }
    }

    def matters(self, chosen: Chosen) -> set[str]:
        return {"checkpoint"} if chosen.objective == "published" else set()

    def origin(self, run: Any, model: Mapping[str, Any], retain_split: str | None) -> Origin:
        if run.objective == "published":
            return Origin(part=run.checkpoint)
        if run.objective != "retain":
            return target(model)
        return Origin(part=retain_split, stage=None if "target" in model else "finetune", split=retain_split)
