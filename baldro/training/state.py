"""Training state: a run's rows so far, and the checkpoint from which an interrupted run continues."""

import errno
import gc
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import torch
from torch import nn

from baldro.durable.lease import Lease
from baldro.errors import BaldroError
from baldro.records import dynamics, steps
from baldro.training import shards
from baldro.training.update import StepLog

PARTS = ("model", "optimizer", "scheduler", "update")
"""Attributes with a `state_dict`, under the same names in the checkpoint."""
LOG = ("step", "tokens", "seconds", "rows", "dynamics")
"""Attributes that are stored as they are: how far training has come."""


class TrainingState:
    """Everything that an interrupted run needs to continue: weights, optimiser, scheduler, the update's own state, and the rows so far.

    Args:
        folder: of the checkpoint.
        identity: code, data and start of the run; a checkpoint of another identity is not continued.
        every_steps, every_minutes: when a checkpoint is due; None: never by this rule.
        main: True on the one process that writes files.
        split: whether the model is split over devices (`baldro.training.shards`). The checkpoint holds it whole, as one device's does,
            so that any number of devices continues it.
        lease: of the run's folder, without which nothing is written.
    """

    def __init__(
        self,
        folder: Path,
        identity: str,
        model: nn.Module,
        optimizer: Any,
        scheduler: Any,
        update: Any,
        *,
        every_steps: int | None,
        every_minutes: float | None,
        main: bool,
        split: bool = False,
        lease: Lease,
    ):
        self.path, self.identity, self.main, self.lease = folder / "state.pt", identity, main, lease
        self.split = split
        self.every_steps, self.every_minutes = every_steps, every_minutes
        self.model, self.optimizer, self.scheduler, self.update = model, optimizer, scheduler, update
        self.step, self.tokens, self.seconds = 0, 0, 0.0
        self.rows: list[dict[str, float]] = []
        self.dynamics: list[dict[str, float]] = []
        self.kept, self.written = 0, time.monotonic()

    def add(
        self,
        indices: Sequence[int],
        log: StepLog,
        *,
        epoch: float,
        lr: float,
        loss: float,
        norm: float,
        tokens: int,
        seconds: float,
    ) -> None:
        """Append the rows of one step.

        Args:
            indices: the forget samples' positions in their split; empty without a forget half.
            lr: learning rate of the step.
            norm: gradient norm before clipping.
            tokens: tokens that the step read.
            seconds: wall time of the step.
        """
        self.step += 1
        self.tokens += tokens
        self.seconds += seconds
        retain = log.retain if log.retain else math.nan
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
        per_sample = zip(indices, log.loss_B.tolist(), log.weight_B.tolist(), log.nll_B.tolist(), strict=True)
        self.dynamics += [
            dict(step=self.step, epoch=epoch, index=i, loss=x, weight=w, nll=n) for i, x, w, n in per_sample
        ]

    def due(self) -> bool:
        """Whether a checkpoint is due, by steps or by this process's clock."""
        by_steps = self.every_steps and self.step % self.every_steps == 0
        by_time = self.every_minutes is not None and time.monotonic() - self.written > 60 * self.every_minutes
        return bool(by_steps or by_time)

    def keep(self, *, now: bool) -> None:
        """Write a checkpoint if one is due or wanted `now`, unless there was no step since the last one."""
        if self.step > self.kept and (now or self.due()):
            self.write()

    def write(self) -> None:
        """Write the checkpoint, whole or not at all.

        Raises:
            BaldroError: it cannot be written.
        """
        self.kept, self.written = self.step, time.monotonic()
        if not self.main and not self.split:
            return
        parts = {name: getattr(self, name).state_dict() for name in PARTS}
        if self.split:
            parts = shards.whole(parts, keep=self.main)
        if not self.main:
            return
        state = {"identity": self.identity, "log": {name: getattr(self, name) for name in LOG}, **parts}
        with self.lease.whole(self.path) as beside:
            try:
                torch.save(state, beside)
            except RuntimeError as error:
                if "inline_container" not in str(error):  # torch's word for a full disk
                    raise
                why = str(error).partition("\n")[0]
                raise BaldroError("not-writable", f"{self.path} cannot be written ({why}); is the disk full?") from None

    def resume(self) -> None:
        """Continue from the checkpoint if its identity is the same; print a line if it is continued, of another identity, or broken."""
        if not self.path.is_file() or (state := self._read()) is None:
            return
        if state["identity"] != self.identity:
            print(f"{self.path} is of other code, data or start: training begins anew", flush=True)
            return
        if self.split:
            state |= shards.load(state, self.model, self.optimizer)
        for name in PARTS:
            getattr(self, name).load_state_dict(state[name])
        for name, value in state["log"].items():
            setattr(self, name, value)
        self.kept = self.step
        print(f"continues {self.path} after step {self.step}", flush=True)

    def free(self) -> None:
        """Let go of all but the rows: the memory of the optimiser's moments is another's, and the state is not continued any more."""
        self.optimizer.zero_grad(set_to_none=True)
        self.model = self.optimizer = self.scheduler = self.update = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def save_rows(self, folder: Path) -> None:
        """Write a row for each step (train.csv), and one for each forget sample of each step (dynamics.parquet)."""
        steps.write(folder / steps.NAME, self.rows)
        dynamics.write(folder / dynamics.NAME, self.dynamics)

    def _read(self) -> dict[str, Any] | None:
        """Read the stored state; a broken file is put aside and gives None, since a job that always fails on it would never end."""
        try:
            with ZipFile(self.path) as archive:
                damage = archive.testzip()  # sums of all parts, at which torch does not look
            if damage is None:
                # Every device reads it, and keeps a share: mapped, the node's memory holds it once.
                return torch.load(self.path, map_location="cpu", weights_only=True, mmap=self.split)
        except Exception as error:
            if _may_pass(error):
                raise
            damage = str(error).partition("\n")[0] or type(error).__name__
        aside = self.path.with_suffix(".broken")
        print(f"{self.path} is broken ({damage}): put aside as {aside.name}, training begins anew", flush=True)
        if self.main:
            self.lease.check()
            self.path.replace(aside)
        return None


def _may_pass(error: Exception) -> bool:
    """Whether an error is not the file's fault (no memory, no network), so that the next attempt may read it."""
    if isinstance(error, OSError):
        return error.errno != errno.EINVAL  # a place before the file's beginning
    return isinstance(error, MemoryError) or "memory" in str(error)
