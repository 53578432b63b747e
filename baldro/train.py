"""The loop that pretraining, finetuning and unlearning share: order, optimiser, schedule, clipping, checkpoint and resume.

A finetuning step is an unlearning step without a forget batch. Every draw is a function of seed and step, so a resumed run
ends with the weights of an undisturbed one.
"""

import csv
import math
import shutil
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from baldro.combine import Peers, Sample, Seen, Step
from baldro.data.batches import draw
from baldro.data.encode import Tokens
from baldro.errors import BaldroError
from baldro.grid import Run
from baldro.progress import Progress

FORGET, RETAIN = 0, 1
"""Streams of random draws under one seed."""


class Diverged(BaldroError):
    """A loss or gradient that is no number: the run has failed, and says so in its row."""


class Interrupted(BaldroError):
    """Asked to stop (SIGTERM, as before a preemption); the checkpoint is written."""


@dataclass(frozen=True, kw_only=True)
class Execution:
    """How a run is carried out; nothing here changes its numbers beyond rounding."""

    micro_batch: int = 64
    """Sequences per forward pass."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass: less memory, a third more time."""
    checkpoint_steps: int | None = None
    """Write a checkpoint every so many steps."""
    checkpoint_minutes: float | None = 10
    """Write a checkpoint when the last one is so old."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Steps of a run, from the size of its split."""

    n: int
    """Samples of the split that sets the pace: forget in unlearning."""
    batch_size: int
    total: int
    warmup: int

    @classmethod
    def of(cls, run: Run, n: int) -> "Plan":
        """Steps and warm-up steps; an epoch's last batch may be smaller than the others."""
        per_epoch = math.ceil(n / run.batch_size)
        total = max(1, round(run.epochs * per_epoch))
        total = min(total, run.max_steps or total)
        return cls(
            n=n, batch_size=run.batch_size, total=total, warmup=min(total - 1, round(run.warmup_epochs * per_epoch))
        )

    def at(self, step: int) -> tuple[int, int]:
        """First position and size of a step's batch in the endless row of samples."""
        per_epoch = math.ceil(self.n / self.batch_size)
        lap, i = divmod(step, per_epoch)
        return lap * self.n + i * self.batch_size, min(self.batch_size, self.n - i * self.batch_size)


def lr_factor(schedule: str, step: int, plan: Plan) -> float:
    """Share of the peak learning rate at a step, in [0, 1]: linear warm-up from 0, then constant, linear or cosine decay to 0.

    The same numbers as transformers' schedules (a test compares), whose import costs every job a second.
    """
    if step < plan.warmup:
        return step / plan.warmup
    done = (step - plan.warmup) / max(1, plan.total - plan.warmup)
    return {"constant": 1.0, "linear": max(0.0, 1 - done), "cosine": (1 + math.cos(math.pi * done)) / 2}[schedule]


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a run was, for run.json."""

    steps: int
    tokens: int
    seconds: float
    peak_memory_bytes: int
    device: str
    main: bool
    """True on the one process that writes files."""

    def as_dict(self) -> dict[str, Any]:
        """What goes into run.json."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "main"}


def train(
    model: nn.Module,
    run: Run,
    *,
    forget: Sequence[Sample],
    retain: Sequence[Tokens],
    output: Path,
    identity: str,
    execution: Execution = Execution(),
    every: float = 5.0,
) -> Trained:
    """Train `model` in place; writes train.csv, dynamics.parquet and, while it runs, a checkpoint into `output`.

    Args:
        forget: the forget split; empty in pretraining and finetuning.
        retain: what the retain batches are drawn from; in pretraining and finetuning the split that is learnt; may be empty for GradAscent.
        identity: what a checkpoint must have been made from to be continued (code, data and start of the run).
        every: seconds between lines of progress.

    Raises:
        Diverged: a loss or gradient that is not finite.
        Interrupted: SIGTERM arrived.
    """
    accelerator = Accelerator(mixed_precision="bf16" if run.precision == "bf16" else "no")
    torch.manual_seed(run.seed)
    model.to(accelerator.device).train()
    if execution.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    plan = Plan.of(run, len(forget) or len(retain))
    optimizer = torch.optim.AdamW(_groups(model, run.weight_decay), lr=run.lr)
    scheduler = LambdaLR(optimizer, lambda step: lr_factor(run.schedule, step, plan))
    step = Step(model, run, micro_batch=execution.micro_batch, peers=_peers(accelerator), autocast=accelerator.autocast)
    log = Log(output / "checkpoint", identity, model, optimizer, scheduler, execution, main=accelerator.is_main_process)
    progress = Progress(f"{'unlearn' if forget else run.objective} {run.id}", plan.total, every=every)
    log.resume()
    progress.resume(log.step)
    while log.step < plan.total:
        began = time.monotonic()
        start, count = plan.at(log.step)
        indices = draw(plan.n, start=start, count=count, seed=run.seed, stream=FORGET)
        if forget:
            drawn = draw(len(retain), start=start, count=count, seed=run.seed, stream=RETAIN) if retain else []
            batch = [forget[i] for i in indices], [retain[i] for i in drawn]
        else:
            batch = [], [retain[i] for i in indices]
        lr = scheduler.get_last_lr()[0]
        optimizer.zero_grad(set_to_none=True)
        seen = step.accumulate(*batch)
        norm = float(nn.utils.clip_grad_norm_(model.parameters(), run.clip_norm or math.inf))
        loss = float((seen.weight_B * seen.loss_B).sum()) if forget else math.nan
        _check_finite(log.step, loss if forget else 0.0, seen.retain, norm)
        optimizer.step()
        scheduler.step()
        tokens = sum(len(s.tokens.ids) for s in batch[0]) + sum(len(t.ids) for t in batch[1])
        log.add(
            indices if forget else [],
            seen,
            epoch=start / plan.n,
            lr=lr,
            loss=loss,
            norm=norm,
            tokens=tokens,
            seconds=time.monotonic() - began,
        )
        progress.advance(tokens=tokens, note=f"loss {loss if forget else seen.retain:.3f}")
    log.finish(output)
    return Trained(
        steps=plan.total,
        tokens=log.tokens,
        seconds=log.seconds,
        peak_memory_bytes=peak_memory(accelerator.device),
        device=device_name(accelerator.device),
        main=accelerator.is_main_process,
    )


def _groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Decay on matrices only; norms and biases have one dimension."""
    trainable = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trainable if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _peers(accelerator: Accelerator) -> Peers:
    def total(tensor: torch.Tensor) -> torch.Tensor:
        return accelerator.reduce(tensor.to(accelerator.device), reduction="sum").to(tensor.device)

    if accelerator.num_processes == 1:
        return Peers()
    return Peers(rank=accelerator.process_index, size=accelerator.num_processes, total=total)


def _check_finite(step: int, forget: float, retain: float, norm: float) -> None:
    for name, value in (("forget loss", forget), ("retain loss", retain), ("gradient norm", norm)):
        if not math.isfinite(value):
            raise Diverged(f"{name} is {'NaN' if math.isnan(value) else value} at step {step + 1}")


class Log:
    """A run's rows, and the checkpoint that carries them with weights, optimiser and random state over an interruption."""

    def __init__(
        self,
        folder: Path,
        identity: str,
        model: nn.Module,
        optimizer: Any,
        scheduler: Any,
        execution: Execution,
        *,
        main: bool,
    ):
        self.folder, self.identity, self.execution, self.main = folder, identity, execution, main
        self.model, self.optimizer, self.scheduler = model, optimizer, scheduler
        self.step, self.tokens, self.seconds = 0, 0, 0.0
        self.rows: list[dict[str, float]] = []
        self.dynamics: list[dict[str, float]] = []
        self.written, self.stop = time.monotonic(), False
        signal.signal(signal.SIGTERM, self._on_term)

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
        by_steps = self.execution.checkpoint_steps and self.step % self.execution.checkpoint_steps == 0
        minutes = self.execution.checkpoint_minutes
        by_time = minutes is not None and time.monotonic() - self.written > 60 * minutes
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
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
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


def peak_memory(device: torch.device) -> int:
    """Largest memory of the process, in bytes: on the GPU if it ran there, else resident in RAM."""
    import resource

    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def device_name(device: torch.device) -> str:
    """`cuda: NVIDIA H100`, or `cpu: 2 threads`."""
    if device.type == "cuda":
        return f"cuda: {torch.cuda.get_device_name(device)}"
    return f"{device.type}: {torch.get_num_threads()} threads"
