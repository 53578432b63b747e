"""What the jobs of a model need of a machine: memory, time, a GPU. It changes no number, and so it is no part of a run."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Needs:
    """`needs` of an entry in models.yaml, as the first attempt of a job has them (bounds: workflow/config.schema.yaml)."""

    gpu: int = 1
    """GPUs that a job holds; 0: none."""
    mem_mb: int = 8000
    """Memory of the node, in MB; not the GPU's."""
    train_minutes: int = 60
    """Time limit of finetuning and of unlearning."""
    score_minutes: int = 60
    """Time limit of scoring and of the reference log-probabilities."""
    micro_batch: int = 64
    """Sequences in one training pass: memory of the GPU and speed, not the result."""
    batch_tokens: int = 16384
    """Padded tokens in one scoring pass: the same."""
    gradient_checkpointing: bool = False
    """Training computes activations again in the backward pass: less memory, a third more time, the same result."""
    runs_per_job: int = 1
    """Unlearning runs, each with its scoring, that go out in one submission, one after the other."""

    @classmethod
    def of(cls, model: Mapping[str, Any]) -> "Needs":
        """The needs in a model's entry, which has been checked against the schema; what is left out is at its default."""
        given = model.get("needs") or {}
        return cls(**{k: v if isinstance(v, bool) else int(v) for k, v in given.items()})  # 8e3 in YAML is a float

    def at(self, attempt: int) -> "Needs":
        """What the n-th attempt asks for: n times the memory of the node and the time.

        The batches stay as they are: in another shape sums are taken in another order, and a run that was tried twice would
        differ in its last bits from one that was not.
        """
        return replace(
            self,
            mem_mb=self.mem_mb * attempt,
            train_minutes=self.train_minutes * attempt,
            score_minutes=self.score_minutes * attempt,
        )
