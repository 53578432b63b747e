"""How often a sample goes through the model in a step, by method: what the plan and `baldro methods` count with.

Everything follows from what the methods declare (which answers an objective compares, whether a variant ranks, what a combiner gives) and
from what the training itself goes by: its schedule, and how it cuts a batch into forward passes.
"""

from dataclasses import dataclass

from baldro.runs import COMBINERS, VARIANTS, Run
from baldro.training import pieces
from baldro.training.schedule import Schedule

HESSIAN_COST = 3
"""What the product of a Hessian with a vector takes, in units of a forward and a backward pass: both once more, with the backward pass
recorded (1), and a backward pass through the two, which takes twice what they take (2)."""


@dataclass(frozen=True, kw_only=True)
class Passes:
    """Of one sample of one half of the batch, on average; a sample's other answer is a sequence of its own."""

    forward: float = 0.0
    """Forward passes without gradients that a step takes to find the weights."""
    trained: float = 0.0
    """Forward and backward passes of a step; where a sample's weight happens to be 0, fewer."""
    hessian: float = 0.0
    """Products of a Hessian with a vector."""
    once: int = 0
    """Forward passes without gradients that the run takes before its first step, however often it draws the sample."""

    def work(self, both: float = 3.0) -> float:
        """Arithmetic of a step, in forward passes' worth.

        Args:
            both: what a forward and a backward pass take.
        """
        return self.forward + both * (self.trained + HESSIAN_COST * self.hessian)


def share(variant: str) -> str | None:
    """The field that says how much of the batch a ranking variant keeps: its one field above 0 and at most 1. None: no field does."""
    fields = VARIANTS[variant].fields if VARIANTS[variant].ranks else {}
    found = [name for name, spec in fields.items() if (spec.get("above"), spec.get("at_most")) == (0, 1)]
    return found[0] if len(found) == 1 else None


def of_forget(run: Run, *, micro_batch: int | None = None) -> Passes:
    """Of a forget sample, or of a sample of a run that unlearns nothing.

    Args:
        micro_batch: sequences in one pass; None: the whole batch.
    """
    method = run.method
    if not run.facts.forgets:
        return Passes(trained=1)
    sequences, count = pieces.sequences_per_sample(run), pieces.together(run, run.batch_size)
    whole = micro_batch is None or count <= pieces.forget_samples(run, micro_batch, count)
    forward, kept = _weighed(run, run.variant, "", whole=whole or pieces.online(run))
    return Passes(
        forward=sequences * forward,
        trained=sequences * kept,
        hessian=sequences * kept if _second_derivative(run) else 0.0,
        once=int("reference_logits" in method.needs),
    )


def of_retain(run: Run, *, micro_batch: int | None = None) -> Passes:
    """Of a retain sample, of which a batch has as many; nothing where there are none."""
    if not run.method.retains:
        return Passes()
    whole = micro_batch is None or pieces.together(run, run.batch_size) <= micro_batch
    forward, kept = _weighed(run, run.retain_variant, "retain_", whole=whole)
    field = share(run.variant)
    drawn = getattr(run, field) if field and run.g_retain == "cut" else 1.0
    trained = drawn * kept
    once = int(run.retain_loss in ("kl", "activations"))
    return Passes(
        forward=drawn * forward, trained=trained, hessian=trained if _second_derivative(run) else 0.0, once=once
    )


def _weighed(run: Run, variant: str, prefix: str, *, whole: bool) -> tuple[float, float]:
    """Forward passes to find the weights, and the share of the samples that has any."""
    method, field = VARIANTS[variant], share(variant)
    kept = getattr(run, prefix + field) if field else 1.0
    return float(method.ranks or not (method.uniform or whole)), kept


def per_row(run: Run, both: float = 3.0, micro_batch: int | None = None) -> float:
    """Arithmetic per row of the split, its retain sample included, in forward passes' worth.

    Args:
        both: what a forward and a backward pass take.
        micro_batch: sequences in one pass; None: the whole batch.
    """
    return sum(half(run, micro_batch=micro_batch).work(both) for half in (of_forget, of_retain))


def rows_once(run: Run, n: int) -> int:
    """Rows that a run with a split of n rows passes over before its first step: all of them, and at most what it draws of the retain."""
    return of_forget(run).once * n + of_retain(run).once * Schedule.of(run, n).drawn


def _second_derivative(run: Run) -> bool:
    return run.combiner is not None and COMBINERS[run.combiner].kind == "penalty"
