"""runs/{run}/checkpoint/finished, by `baldro train`: all that a run has made so far, kept whole, and the seal that says so."""

from dataclasses import dataclass
from pathlib import Path

from baldro.durable.files import remove
from baldro.errors import BaldroError
from baldro.records import dynamics, run, steps
from baldro.records.store import read_record, write_record

MODEL = "model"
"""The folder of a run's model."""
EVIDENCE = "samples.parquet"
"""What the model said, if it was scored by the process that trained it."""
OUTPUTS = (MODEL, steps.NAME, dynamics.NAME, run.NAME)
"""Of a training, in the order in which they are written: the last one says that all are there."""
SEAL = "finished.json"


@dataclass(frozen=True, kw_only=True)
class Seal:
    """What the files were made from, and how long each is."""

    identity: str
    """Of the training."""
    scoring: str | None = None
    """Of the evidence; None where there is none."""
    lasting: bool = False
    """Whether it stays when the evidence has been read, for another scoring."""
    sizes: dict[str, int]


def place(output: Path) -> Path:
    """Where a run's folder keeps them."""
    return output / "checkpoint" / "finished"


def write(folder: Path, identity: str, *, scoring: str | None = None, lasting: bool = False) -> None:
    """Seal a folder: note what its files were made from, and how long each is."""
    write_record(folder / SEAL, Seal(identity=identity, scoring=scoring, lasting=lasting, sizes=_sizes(folder)))


def read(folder: Path) -> Seal | None:
    """The seal of a folder that is as it was when it was sealed, each file as long; None of any other."""
    try:
        seal = read_record(folder / SEAL, Seal, made_by="`baldro train`")
    except BaldroError:  # not there, or broken: a damaged disk must not stop a run for ever
        return None
    return seal if seal.sizes == _sizes(folder) and set(OUTPUTS[1:]) <= seal.sizes.keys() else None


def forget(output: Path) -> None:
    """The evidence or the model in a run's folder is read: what was kept until then goes, unless it is to last or still to be scored."""
    seal = read(place(output))
    if seal and seal.scoring and not seal.lasting:
        remove(place(output).parent)


def _sizes(folder: Path) -> dict[str, int]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != SEAL)
    return {str(path.relative_to(folder)): path.stat().st_size for path in sorted(files)}
