"""runs/{run}/checkpoint/finished, by `baldro train`: all that a training made, kept whole until it is scored, and the seal that says so."""

from dataclasses import dataclass
from pathlib import Path

from baldro.errors import BaldroError
from baldro.records import dynamics, run, steps
from baldro.records.store import read_record, write_record

MODEL = "model"
"""The folder of a run's model."""
OUTPUTS = (MODEL, steps.NAME, dynamics.NAME, run.NAME)
"""In the order in which they are written: the last one says that all are there."""
SEAL = "finished.json"


@dataclass(frozen=True, kw_only=True)
class Seal:
    """What the files were made from, and how long each is."""

    identity: str
    sizes: dict[str, int]


def place(output: Path) -> Path:
    """Where a run's folder keeps them."""
    return output / "checkpoint" / "finished"


def write(folder: Path, identity: str) -> None:
    """Seal a folder: note what its files were made from, and how long each is."""
    write_record(folder / SEAL, Seal(identity=identity, sizes=_sizes(folder)))


def is_whole(folder: Path, identity: str) -> bool:
    """Whether a folder holds all that a training with this identity made, each file as long as it was."""
    try:
        sealed = read_record(folder / SEAL, Seal, made_by="`baldro train`")
    except BaldroError:  # not there, or broken: a damaged disk must not stop a run for ever
        return False
    whole = all((folder / name).exists() for name in OUTPUTS)
    return whole and sealed == Seal(identity=identity, sizes=_sizes(folder))


def _sizes(folder: Path) -> dict[str, int]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != SEAL)
    return {str(path.relative_to(folder)): path.stat().st_size for path in sorted(files)}
