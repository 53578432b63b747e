"""How often a sample goes through the model in a step, by method: what the plan and `baldro methods` count with.

Everything follows from what the methods declare: which answers an objective looks at, whether a variant ranks, what a combiner gives.
"""

from dataclasses import dataclass

from baldro.runs import COMBINERS, VARIANTS, Run

CURVED = 3
"""What the product of a Hessian with a vector takes, in units of a forward and a backward pass: both once more, with the backward pass
recorded (1), and a backward pass through the two, which takes twice what they take (2)."""


@dataclass(frozen=True, kw_only=True)
class Passes:
    """Of one sample of one half of the batch, on average; a sample's other answer is a sequence of its own."""

    looks: float = 0.0
    """Forward passes without gradients that a step takes to find the weights."""
    trained: float = 0.0
    """Forward and backward passes of a step; where a sample's weight happens to be 0, fewer."""
    curved: float = 0.0
    """Products of a Hessian with a vector."""
    once: int = 0
    """Forward passes without gradients that the run takes before its first step, however often it draws the sample."""

    def work(self, both: float = 3.0) -> float:
        """Arithmetic of a step, in forward passes' worth.

        Args:
            both: what a forward and a backward pass take.
        """
        return self.looks + both * (self.trained + CURVED * self.curved)


def share(variant: str) -> str | None:
    """The field that says how much of the batch a ranking variant keeps: its one field above 0 and at most 1. None: it says nowhere."""
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
    sequences = 2 if method.answers else 1
    scoped = run.robust_scope == "micro-batch"
    whole = _fits(run, sequences, micro_batch) or (scoped and run.dv_level == "token")
    looks, kept = _weighed(run, run.variant, "", whole=whole or (VARIANTS[run.variant].online and not scoped))
    return Passes(
        looks=sequences * looks,
        trained=sequences * kept,
        curved=sequences * kept if _curves(run) else 0.0,
        once=int("reference_logits" in method.needs),
    )


def of_retain(run: Run, *, micro_batch: int | None = None) -> Passes:
    """Of a retain sample, of which a batch has as many; nothing where there are none."""
    if not run.method.retains:
        return Passes()
    whole = _fits(run, 1, micro_batch)
    looks, kept = _weighed(run, run.retain_variant, "retain_", whole=whole)
    field = share(run.variant)
    drawn = getattr(run, field) if field and run.g_retain == "cut" else 1.0
    trained = drawn * kept
    once = int(run.retain_loss in ("kl", "activations"))
    return Passes(looks=drawn * looks, trained=trained, curved=trained if _curves(run) else 0.0, once=once)


def _weighed(run: Run, variant: str, prefix: str, *, whole: bool) -> tuple[float, float]:
    """Forward passes to find the weights, and the share of the samples that has any."""
    method, field = VARIANTS[variant], share(variant)
    kept = getattr(run, prefix + field) if field else 1.0
    return float(method.ranks or not (method.uniform or whole)), kept


def _fits(run: Run, sequences: int, micro_batch: int | None) -> bool:
    """Whether the samples that are weighed together take one pass: the batch, or the run's own micro-batch."""
    together = run.micro_batch_size if run.robust_scope == "micro-batch" else run.batch_size
    return micro_batch is None or min(together, run.batch_size) <= max(1, micro_batch // sequences)


def _curves(run: Run) -> bool:
    return run.combiner is not None and COMBINERS[run.combiner].kind == "penalty"
