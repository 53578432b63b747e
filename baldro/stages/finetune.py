"""A base model learns all rows of a benchmark (the target), or all but the forgotten ones (a retain model)."""

from collections.abc import Mapping
from typing import Any

from baldro.stages.stage import Kind, Origin, Stage


class Finetune(Stage):
    """Starts from a base model, pretrained here or elsewhere, and leaves a model that stays."""

    kinds = {"finetune": Kind(label="Finetuned")}

    def origin(self, run: Any, model: Mapping[str, Any], retain_split: str | None) -> Origin:
        return Origin(part="base", stage="pretrain" if "build" in model else None, split="base")
