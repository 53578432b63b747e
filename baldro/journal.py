"""A run's rows, and the checkpoint that carries them with weights, optimiser and random state over an interruption."""

import csv
import math
import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from baldro.combine import Seen
from baldro.errors import BaldroError


class Interrupted(BaldroError):
    """Asked to stop (SIGTERM, as before a preemption); the checkpoint is written."""


class Log:
    """A run's rows, and the checkpoint that carries them with weights, optimiser and random state over an interruption."""

    def __init__(
        self,
        folder: Path,
        identity: str,
        model: nn.Module,
        optimizer: Any,
        scheduler: Any,
        *,
        every_steps: int | None,
        every_minutes: float | None,
        main: bool,
    ):
        self.folder, self.identity, self.main = folder, identity, main
        self.every_steps, self.every_minutes = every_steps, every_minutes
        self.model, self.optimizer, self.scheduler = model, optimizer, scheduler
        self.step, self.tokens, self.seconds = 0, 0, 0.0
        self.rows: list[dict[str, float]] = []
        self.dynamics: list[dict[str, float]] = []
        self.written, self.stop = time.monotonic(), False

    def __enter__(self) -> "Log":
        """From here on SIGTERM lets the step end, writes a checkpoint and raises Interrupted."""
        self.before = signal.signal(signal.SIGTERM, self._on_term)
        return self

    def __exit__(self, *_: Any) -> None:
        signal.signal(signal.SIGTERM, self.before)

    def add(
        self,
        indices: Sequence[int],
        seen: Seen,
        *,
        epoch: float,
        lr: float,
        loss: float,
        norm: float,
        tokens: int,
        seconds: float,
    ) -> None:
        """One step's rows; writes a checkpoint when it is due."""
        self.step += 1
        self.tokens += tokens
        self.seconds += seconds
        retain = seen.retain if seen.retain else math.nan
        self.rows.append(
            dict(
                step=self.step,
                epoch=epoch,
                lr=lr,
                forget_loss=loss,
                retain_loss=retain,
                grad_norm=norm,
                tokens_per_second=tokens / seconds,
                seconds=self.seconds,
            )
        )
        per_sample = zip(indices, seen.loss_B.tolist(), seen.weight_B.tolist(), seen.nll_B.tolist(), strict=True)
        self.dynamics += [
            dict(step=self.step, epoch=epoch, index=i, loss=x, weight=w, nll=n) for i, x, w, n in per_sample
        ]
        by_steps = self.every_steps and self.step % self.every_steps == 0
        by_time = self.every_minutes is not None and time.monotonic() - self.written > 60 * self.every_minutes
        if by_steps or by_time or self.stop:
            self.write()
        if self.stop:
            raise Interrupted(
                f"stopped by SIGTERM after step {self.step}; the checkpoint in {self.folder} will be continued"
            )

    def write(self) -> None:
        """The checkpoint, complete or not at all: written beside, then renamed."""
        self.written = time.monotonic()
        if not self.main:
            return
        state = {
            "identity": self.identity,
            "log": {name: getattr(self, name) for name in ("step", "tokens", "seconds", "rows", "dynamics")},
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        beside = self.folder / "state.pt.part"
        torch.save(state, beside)
        beside.replace(self.folder / "state.pt")

    def resume(self) -> None:
        """Go on from a checkpoint of the same run, code, data and start; one of anything else is put aside, and the log says so."""
        path = self.folder / "state.pt"
        if not path.is_file():
            return
        state = torch.load(path, map_location="cpu", weights_only=True)
        if state["identity"] != self.identity:
            print(f"{path} is of other code, data or start: training begins anew", flush=True)
            return
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        torch.set_rng_state(state["random"])
        if torch.cuda.is_available():
            torch.cuda.set_rng_state_all(state["random_cuda"])
        for name, value in state["log"].items():
            setattr(self, name, value)
        print(f"continues {path} after step {self.step}", flush=True)

    def finish(self, output: Path) -> None:
        """Write the rows; the checkpoint has done its service."""
        if not self.main:
            return
        output.mkdir(parents=True, exist_ok=True)
        with (output / "train.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(self.rows[0]))
            writer.writeheader()
            writer.writerows(self.rows)
        import pandas as pd

        columns = {
            "step": "int64",
            "epoch": "float64",
            "index": "int64",
            "loss": "float64",
            "weight": "float64",
            "nll": "float64",
        }
        pd.DataFrame(self.dynamics, columns=list(columns)).astype(columns).to_parquet(
            output / "dynamics.parquet", index=False
        )
        shutil.rmtree(self.folder, ignore_errors=True)

    def _on_term(self, *_: Any) -> None:
        self.stop = True
