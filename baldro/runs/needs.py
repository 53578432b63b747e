"""What the jobs of a model need of a machine: memory, time, a GPU. It changes no number, and so it is no part of a run."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Whole = Annotated[int, BeforeValidator(lambda v: int(v) if isinstance(v, float) and v.is_integer() else v)]
"""A whole number; 8e3 is one, which YAML reads as a float."""


class Needs(BaseModel):
    """What its jobs ask of a machine, on their first attempt; on the second and third, two and three times the memory and the time.

    It changes no number and reruns nothing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    gpu: Whole = Field(
        1,
        ge=0,
        description="GPUs of a node that a job holds, with a process for each (on the CPU where there are none); 0: none.",
    )
    nodes: Whole = Field(
        1,
        ge=1,
        description="Nodes that a job holds, each with `gpu` GPUs and `mem_mb`; several on SLURM only, where srun starts the processes "
        "of the others.",
    )
    shard: bool = Field(
        False,
        description="Weights, gradients and optimiser state are split over a job's GPUs (FSDP2), in scoring the weights: an N-th of them "
        "on each, and slower than whole copies. The result is the same to rounding.",
    )
    mem_mb: Whole = Field(
        8000, ge=400, description="Memory of the node, not of the GPU; a SLURM job's own Snakemake takes 400 of them."
    )
    train_minutes: Whole = Field(60, ge=1, description="Time limit of finetuning and of unlearning.")
    score_minutes: Whole = Field(60, ge=1, description="Time limit of scoring and of the reference log-probabilities.")
    micro_batch: Whole = Field(
        64, ge=1, description="Sequences in one training pass; memory of the GPU and speed, not the result."
    )
    batch_tokens: Whole = Field(
        16384, ge=256, description="Padded tokens in one scoring pass; memory and speed, not the result."
    )
    gradient_checkpointing: bool = Field(
        False,
        description="Training computes activations again in the backward pass: less memory, a third more time, the same result.",
    )
    runs_per_job: Whole = Field(
        1,
        ge=1,
        description="Unlearning runs (each with its scoring) that go out in one submission, one after the other.",
    )

    @property
    def minutes(self) -> int:
        """Time limit of a job that trains a run and scores it."""
        return self.train_minutes + self.score_minutes

    @property
    def devices(self) -> int:
        """Processes of a job: a GPU each, on all nodes."""
        return max(1, self.gpu) * self.nodes

    @classmethod
    def of(cls, model: Mapping[str, Any]) -> "Needs":
        """The needs in a model's entry in models.yaml; what is left out is at its default."""
        return cls.model_validate(model.get("needs") or {})

    def at(self, attempt: int) -> "Needs":
        """What the n-th attempt asks for: n times the memory of the node and the time.

        The batches stay as they are: in another shape sums are taken in another order, and a run that was tried twice would
        differ in its last bits from one that was not.
        """
        grows = ("mem_mb", "train_minutes", "score_minutes")
        return self.model_copy(update={name: attempt * getattr(self, name) for name in grows})
