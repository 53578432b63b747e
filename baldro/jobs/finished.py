"""What a run has made, kept whole in `checkpoint/finished` until its evidence is read, so that nothing is made twice.

Snakemake deletes a job's outputs before it runs it (again): after a failure, or where SLURM has lost a node that in truth ended the run.
What is kept is believed at the start of a run if it was made from the same. The files have two names (hard links), one among the outputs
and one here: the second costs no disk.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from baldro.durable.files import link, remove
from baldro.durable.lease import Lease
from baldro.records import finished as record
from baldro.records.finished import EVIDENCE, MODEL, OUTPUTS, place


@dataclass(frozen=True, kw_only=True)
class Finished:
    """What a run makes, and what of it is kept.

    Args:
        output: the run's folder.
        samples: where the evidence goes; None: the model is not scored here.
        identity, scoring: what the training and the evidence are made from.
        keep: with `samples`, what stays of the model: nothing, model, or finished (with it what is kept here).
        temporary: without `samples`, whether the model is scored by another verb, until which all stays.
        lease: of the folder.
    """

    output: Path
    samples: Path | None
    identity: str
    scoring: str | None
    keep: str
    temporary: bool
    lease: Lease

    @property
    def place(self) -> Path:
        """The folder."""
        return place(self.output)

    @property
    def leaves_model(self) -> bool:
        """Whether the model is among the outputs."""
        return self.samples is None or self.keep != "nothing"

    @property
    def is_trained(self) -> bool:
        """Whether the model of this training is here."""
        seal = record.read(self.place)
        return bool(seal and seal.identity == self.identity and (self.place / MODEL).is_dir())

    @property
    def is_complete(self) -> bool:
        """Whether all outputs are here: those of this training, and of this scoring."""
        seal = record.read(self.place)
        made = seal and (seal.identity, seal.scoring if self.samples else None) == (self.identity, self.scoring)
        return bool(made and (not self.leaves_model or (self.place / MODEL).is_dir()))

    def discard(self) -> None:
        """Before another training: the mark that an earlier one is complete goes, and what was kept of it."""
        self.lease.check()
        remove(self.output / OUTPUTS[-1])
        if self.place.is_dir():
            print(f"{self.place} is of other code, data or start, or not whole: training begins anew", flush=True)
            remove(self.place)

    def seal(self, fill: Callable[[Path], None], *, scored: bool) -> None:
        """Put what `fill` writes into a folder in place of what is here, whole, and sealed.

        Args:
            scored: whether the evidence is in it.
        """
        with self.lease.whole(self.place) as made:
            made.mkdir(parents=True)
            fill(made)
            lasting = scored and self.keep == "finished"
            record.write(made, self.identity, scoring=self.scoring if scored else None, lasting=lasting)

    def add(self, fill: Callable[[Path], None]) -> None:
        """The same of the evidence, beside what is here but for a model that does not stay."""

        def all_of_it(made: Path) -> None:
            for name in OUTPUTS if self.leaves_model else OUTPUTS[1:]:
                link(self.place / name, made / name)
            fill(made)

        self.seal(all_of_it, scored=True)

    def hand_over(self) -> None:
        """Put the outputs in their place; then checkpoints go, and what is kept here too if nobody will look at it."""
        outputs = {name: self.output / name for name in (OUTPUTS if self.leaves_model else OUTPUTS[1:])}
        if self.samples:
            outputs = {EVIDENCE: self.samples, **outputs}
        for name, target in outputs.items():
            with self.lease.whole(target) as beside:
                link(self.place / name, beside)
        self.lease.check()
        for path in list(self.place.parent.iterdir()) if self.samples or self.temporary else [self.place.parent]:
            if path != self.place:
                remove(path)
