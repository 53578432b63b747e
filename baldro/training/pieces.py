"""What of a batch is weighed together, and how many samples of it one forward pass takes. Without torch: the plan counts with it."""

from baldro.runs import VARIANTS, Run


def scoped(run: Run) -> bool:
    """Whether the run's own micro-batches are weighed each by itself, as released trainers do."""
    return run.robust_scope == "micro-batch"


def together(run: Run, count: int) -> int:
    """How many of `count` samples of a half are weighed together: all of the batch, or those of the run's own micro-batch."""
    return min(count, run.micro_batch_size) if scoped(run) else count


def sequences_per_sample(run: Run) -> int:
    """Sequences of a forget sample: its answer, and another answer to the same question where the objective compares the two."""
    return 2 if run.method.answers else 1


def forget_samples(run: Run, micro_batch: int, count: int) -> int:
    """Forget samples in one forward pass, at least 1.

    Where each micro-batch of the run is weighed by its tokens, all of it goes through at once, however few sequences are wanted.

    Args:
        micro_batch: sequences in one forward pass.
        count: samples that are weighed together.
    """
    if scoped(run) and run.dv_level == "token":
        return max(1, count)
    return max(1, micro_batch // sequences_per_sample(run))


def online(run: Run) -> bool:
    """Whether the forget weights are found while the gradients are taken; not where that would scale other micro-batches' gradients too."""
    return VARIANTS[run.variant].online and not scoped(run)
