"""An experiment that is disturbed, what is seen of it, and that it comes to what it comes to undisturbed."""

import json
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .machine import ask
from .started import Snakemake, Watch, check_nothing_is_left

CONFIG = "faults.yaml"
RUNS = 7
"""Unlearning runs, of seeds from 1."""
STEPS = 500
"""Some five seconds of training: time to be seen in its midst."""
ALONE = "unlearn:slurm_extra='--exclusive'"
"""A node for each run, so that what happens to a node happens to one run."""


@dataclass
class Experiment:
    """Unlearning runs that are trained and scored on the cluster, and what happens to them."""

    snakemake: Snakemake
    undisturbed: Path
    runs: dict[str, str]
    """Fault -> id of the run that it hits."""
    watch: Watch
    acts: dict[str, Future] = field(default_factory=dict)
    """Fault -> what brings it about."""
    notes: dict[str, Any] = field(default_factory=dict)
    """What was seen on the way."""

    @property
    def folder(self) -> Path:
        """Of the checkout."""
        return self.snakemake.checkout.folder

    def accounts(self, fault: str) -> list[dict[str, Any]]:
        """What the jobs of a fault's run came to; raises what went wrong when it was brought about."""
        if fault in self.acts:
            self.acts[fault].result()
        rows = map(json.loads, (self.folder / "results/slurm.jsonl").read_text().splitlines())
        return sorted((row for row in rows if row["runs"] == [self.runs[fault]]), key=lambda row: int(row["job"]))

    def states(self, fault: str) -> list[str]:
        """Of these jobs, in their order."""
        return [row["state"] for row in self.accounts(fault)]

    def continued(self, fault: str) -> bool:
        """Whether the log of the run's last attempt says that it went on from a checkpoint."""
        return "continues" in (self.folder / f"logs/unlearn/{self.runs[fault]}.log").read_text()

    def check_evidence(self, fault: str) -> None:
        """What the run's model says, and what was recorded of every sample in training, is to the bit what it is undisturbed."""
        for name in ("samples.parquet", "dynamics.parquet"):
            file = f"results/runs/{self.runs[fault]}/{name}"
            assert (self.folder / file).read_bytes() == (self.undisturbed / file).read_bytes(), file

    def check_nothing_is_left(self) -> None:
        """But for what a metrics job is to read."""
        self.snakemake.cluster.repair()
        check_nothing_is_left(self.snakemake, self.watch, kept={"finished"})
        made = [name for name in self.watch.seen if any(run in name for run in self.runs.values())]
        assert len(made) == 4 * len(self.runs)  # files that the watch saw


def is_elsewhere(job: str, node: str) -> bool:
    """Whether a job was requeued and has another node."""
    said = ask("squeue", "--noheader", "--states=all", f"--jobs={job}", "--format=%T|%N").strip()
    return said.startswith(("RUNNING", "COMPLET")) and not said.endswith(f"|{node}")
