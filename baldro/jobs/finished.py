"""What a finished training made, kept whole in `checkpoint/finished` until it is scored, so that no failure after it trains anew.

Snakemake deletes a failed job's outputs before it tries again, and unlearning and scoring are tried again together. The files have
two names (hard links), one among the outputs and one here: the second costs no disk.
"""

from pathlib import Path

from baldro.durable.files import link, remove
from baldro.durable.lease import Lease
from baldro.records.finished import OUTPUTS, place


def discard(output: Path, *, lease: Lease) -> None:
    """Before another training: the mark that an earlier one is complete goes, and what was kept of it."""
    lease.check()
    remove(output / OUTPUTS[-1])
    made = place(output)
    if made.is_dir():
        print(f"{made} is of other code, data or start, or not whole: training begins anew", flush=True)
        remove(made)


def hand_over(output: Path, *, model: bool = True, lease: Lease, keep: bool) -> None:
    """Put the outputs in their place, with or without the model; then checkpoints go, and what is finished too unless it is to be kept."""
    made = place(output)
    for name in OUTPUTS if model else OUTPUTS[1:]:
        with lease.whole(output / name) as beside:
            link(made / name, beside)
    lease.check()
    for path in list(made.parent.iterdir()) if keep else [made.parent]:
        if path != made:
            remove(path)
