"""A base model, trained from random weights."""

from collections.abc import Mapping
from typing import Any

from baldro.stages.stage import Kind, Origin, Stage


class Pretrain(Stage):
    """Starts from random weights, and leaves a base model that stays."""

    kinds = {"pretrain": Kind(label="Base")}

    def origin(self, run: Any, model: Mapping[str, Any], retain_split: str | None) -> Origin:
        return Origin(part="build")
