"""Which samples of a batch are weighed together, how many one forward pass takes, and which layers are trained.

Imports no torch, since the plan uses it.
"""

from baldro.runs import VARIANTS, Run


def scoped(run: Run) -> bool:
    """Whether each of the run's own micro-batches is weighed by itself, as in released trainers."""
    return run.robust_scope == "micro-batch"


def together(run: Run, count: int) -> int:
    """How many of `count` samples of a half are weighed together: all of the batch, or those of the run's own micro-batch."""
    return min(count, run.micro_batch_size) if scoped(run) else count


def sequences_per_sample(run: Run) -> int:
    """Sequences of one forget sample: 2 where the objective compares its answer with another answer to the same question, else 1."""
    return 2 if run.method.answers else 1


def forget_samples(run: Run, micro_batch: int, count: int) -> int:
    """Forget samples in one forward pass, at least 1.

    Where each micro-batch of the run is weighed by its tokens, all of its samples go through at once, whatever `micro_batch` is.

    Args:
        micro_batch: sequences in one forward pass.
        count: samples that are weighed together.
    """
    if scoped(run) and run.dv_level == "token":
        return max(1, count)
    return max(1, micro_batch // sequences_per_sample(run))


def online(run: Run) -> bool:
    """Whether the forget weights are found during the backward passes; not where that would also scale other micro-batches' gradients."""
    return VARIANTS[run.variant].online and not scoped(run)


def trained_layers(run: Run, depth: int) -> range:
    """The layers with weights that a run trains: all; of released RMU (rmu_weights down-proj) rmu_layer and the two before it."""
    return range(max(0, run.rmu_layer - 2), run.rmu_layer + 1) if run.rmu_weights == "down-proj" else range(depth)
