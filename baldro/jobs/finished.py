"""What a finished training made, kept whole in `checkpoint/finished` until it is scored, so that no failure after it trains anew.

Snakemake deletes a failed job's outputs before it tries again, and unlearning and scoring are tried again together. The files have
two names (hard links), one among the outputs and one here: the second costs no disk.
"""

from pathlib import Path

from baldro.durable.files import link, read_json, remove, write_json
from baldro.durable.lease import Lease

OUTPUTS = ("model", "train.csv", "dynamics.parquet", "run.json")
"""In the order in which they are written: the last one says that all are there."""
SEAL = "finished.json"


def place(output: Path) -> Path:
    """Where a run's folder keeps what its training made."""
    return output / "checkpoint" / "finished"


def seal(folder: Path, identity: str) -> None:
    """Note in a folder of outputs what they were made from, and how large each file is."""
    write_json(folder / SEAL, {"identity": identity, "sizes": _sizes(folder)})


def discard(output: Path, *, lease: Lease) -> None:
    """Before another training: the mark that an earlier one is complete goes, and what was kept of it."""
    lease.check()
    remove(output / OUTPUTS[-1])
    made = place(output)
    if made.is_dir():
        print(f"{made} is of other code, data or start, or not whole: training begins anew", flush=True)
        remove(made)


def hand_over(output: Path, *, lease: Lease, keep: bool) -> None:
    """Put the outputs in their place; then checkpoints go, and what is finished too, unless it is to be kept."""
    made = place(output)
    for name in OUTPUTS:
        with lease.whole(output / name) as beside:
            link(made / name, beside)
    lease.check()
    for path in list(made.parent.iterdir()) if keep else [made.parent]:
        if path != made:
            remove(path)


def is_whole(folder: Path, identity: str) -> bool:
    """Whether a folder holds all that a training with this identity made, each file as long as it was."""
    try:
        sealed = read_json(folder / SEAL)
    except ValueError:  # not there, or no JSON: a broken disk must not stop a run for ever
        return False
    return sealed == {"identity": identity, "sizes": _sizes(folder)} and all((folder / n).exists() for n in OUTPUTS)


def _sizes(folder: Path) -> dict[str, int]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != SEAL)
    return {str(path.relative_to(folder)): path.stat().st_size for path in sorted(files)}
