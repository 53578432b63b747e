"""Relearning: does an unlearned model get back what it forgot, by a short finetuning?

Hu et al. (2024, arXiv 2406.13356) finetune on a small part of what was forgotten, or on public text that is only related to it. Here it
is all of what was forgotten, which is the stronger attack, or the retain split, which holds none of it.
"""

from typing import Any

from baldro.stages.stage import Kind, Stage


class Relearn(Stage):
    """Starts from another row's model, and leaves a model until it is scored, on the split that was forgotten."""

    kinds = {"relearn": Kind(label="Relearned", parent="required")}
    temporary = tabled = True
    fields = {
        "relearn_on": {
            "kind": str,
            "default": "forget",
            "choices": ("forget", "retain"),
            "text": "What is finetuned on: the rows that were forgotten (the strongest attack), or their retain split.",
        }
    }

    def learns(self, run: Any, retain_split: str | None) -> str:
        return run.split if run.relearn_on == "forget" else retain_split
