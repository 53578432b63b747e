"""Nothing is done to a model: it is scored as it is. What every method is compared with, and checkpoints from outside."""

from collections.abc import Mapping
from typing import Any

from baldro.stages.stage import Kind, Origin, Stage, target


class Unchanged(Stage):
    """Starts from the target (`original`), a retain model (`retain`) or another row's model (`scored`), and leaves none."""

    kinds = {
        "original": Kind(label="Original"),
        "retain": Kind(label="Retain"),
        "scored": Kind(label="Scored", parent="required"),
    }
    trains = False
    tabled = True

    def origin(self, run: Any, model: Mapping[str, Any], retain_split: str | None) -> Origin:
        if run.objective != "retain":
            return target(model)
        return Origin(part=retain_split, stage=None if "target" in model else "finetune", split=retain_split)
