"""`lm_eval` of a benchmark's entry: tasks of lm-evaluation-harness that every model is asked beside the benchmark's own questions.

The keys are those of that package's command line. Each entry of `tasks` is a column of the tables.
"""

import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from baldro.errors import BaldroError

PREFIX = "lm_eval_"
"""Begins the name of each of its metrics."""
BATCH = 8
Task = Annotated[str, Field(pattern=r"^[\w.+-]+(/[\w.+-]+(,[\w.+-]+)?)?$")]


@dataclass(frozen=True, kw_only=True)
class Column:
    """An entry of `tasks`."""

    name: str
    """The metric's, in metrics.json and tables."""
    task: str
    metric: str
    """Empty: the task's first one."""
    filter: str
    """Empty: the task's first one."""

    @classmethod
    def of(cls, entry: str) -> "Column":
        """Of *task*, *task/metric* or *task/metric,filter*.

        >>> Column.of("gsm8k/exact_match,strict-match").name
        'lm_eval_gsm8k_exact_match_strict_match'
        """
        task, _, rest = entry.partition("/")
        metric, _, filtered = rest.partition(",")
        return cls(name=PREFIX + re.sub(r"\W+", "_", entry), task=task, metric=metric, filter=filtered)


class Harness(BaseModel):
    """Tasks of lm-evaluation-harness, and how they are asked; the package is the extra lm-eval."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    tasks: Annotated[list[Task], Field(min_length=1)] = Field(
        description="Tasks or groups by their names there, each a column of the tables: its first metric and filter, or those named as "
        "in `hellaswag/acc_norm` and `gsm8k/exact_match,flexible-extract`. A metric must be a mean over questions of which more is better."
    )
    limit: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Only the first so many questions of each task; all by default."
    )
    num_fewshot: Annotated[int, Field(ge=0)] | None = Field(
        None, description="Worked examples before each question; each task's own number by default."
    )
    apply_chat_template: bool = Field(
        False,
        description="Ask in the chat template of models whose prompt is `chat`, with what their entries say of it.",
    )
    batch_size: Annotated[int, Field(ge=1)] = Field(
        BATCH, description="Sequences in one forward pass: memory and speed, not the result."
    )
    include_path: str | None = Field(
        None, description="Folder of tasks of your own, in that package's YAML; all files in it belong to them."
    )

    @field_validator("tasks")
    @classmethod
    def _once(cls, tasks: list[str]) -> list[str]:
        names = [Column.of(entry).name for entry in tasks]
        if twice := [entry for i, entry in enumerate(tasks) if names[i] in names[:i]]:
            raise BaldroError("named-twice", f"{twice[0]!r} is a column that is there; allowed: each once")
        return tasks

    @property
    def columns(self) -> tuple[Column, ...]:
        """What `tasks` names."""
        return tuple(map(Column.of, self.tasks))
