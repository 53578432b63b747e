"""The loop that pretraining, finetuning and unlearning share: order, optimiser, schedule, clipping, checkpoint and resume.

A finetuning step is an unlearning step without a forget batch. Every draw is a function of seed and step, so a resumed run
ends with the weights of an undisturbed one.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from baldro.durable.lease import Interrupted, Lease, Stop
from baldro.durable.progress import Progress
from baldro.errors import BaldroError, fits
from baldro.models import packing, recompute_activations
from baldro.prompts.encode import Tokens
from baldro.runs import Run
from baldro.training import shards
from baldro.training.devices import accelerated, device_group, device_name, peak_memory
from baldro.training.optimizer import optimiser, train_only
from baldro.training.order import DROPOUT, ROUNDING, Order
from baldro.training.schedule import Schedule, lr_factor
from baldro.training.state import TrainingState
from baldro.training.update import DeviceGroup, ReferenceCache, Sample, Step, cache_reference


class Diverged(BaldroError):
    """A loss or gradient is not finite: the run has failed, and its row says so."""


@dataclass(frozen=True, kw_only=True)
class Execution:
    """How a run is carried out. Nothing here changes its numbers beyond rounding, except which values dropout sets to 0."""

    micro_batch: int = 64
    """Sequences per forward pass."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass: less memory, a third more time."""
    shard: bool = False
    """Split weights, gradients and optimiser state over the devices, if there are several; else each holds all of them."""
    checkpoint_steps: int | None = None
    """Steps between two checkpoints; None: no checkpoint by steps."""
    checkpoint_minutes: float | None = 10
    """Minutes between two checkpoints; None: no checkpoint by time."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The result of a training, for run.json."""

    steps: int
    tokens: int
    seconds: float
    peak_memory_bytes: int
    device: str
    main: bool
    """True on the one process that writes files."""
    state: TrainingState
    """The training state, whose rows are not in files yet."""

    def as_dict(self) -> dict[str, Any]:
        """The entries of run.json."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("main", "state")}


@fits(
    "a smaller micro_batch, gradient_checkpointing: true, lora_rank, or a GPU with more memory (`baldro plan` estimates it)"
)
def train(
    model: nn.Module,
    run: Run,
    *,
    forget: Sequence[Sample],
    retain: Sequence[Tokens],
    retain_topics: Sequence[int | None] | None = None,
    output: Path,
    identity: str,
    execution: Execution = Execution(),
    every: float = 5.0,
    lease: Lease | None = None,
    stop: Stop | None = None,
) -> Trained:
    """Train `model` in place, and write checkpoints into `output`/checkpoint, the last of which stays.

    Args:
        forget: the forget split; empty in pretraining and finetuning.
        retain: what the retain batches are drawn from; in pretraining and finetuning the split that is learnt; may be empty for GradAscent.
        retain_topics: the topic of each of them, where topics alternate; None: it goes with every topic, as all do by default.
        identity: what a checkpoint must have been made from to be continued (code, data and start of the run).
        every: seconds between lines of progress.
        execution: how the run is carried out.
        lease: of `output`, which others may take over.
        stop: notes the signals that end training after the running step.

    Raises:
        Diverged: a loss or gradient that is not finite.
        Interrupted: a signal was noted; the checkpoint is written.
        Superseded: a newer process has taken the lease.
        OutOfMemory: a pass does not fit the device.
    """
    lease, stop = lease or Lease(), stop or Stop()
    accelerator = accelerated()
    torch.manual_seed(run.seed)
    adapters = _adapters(model, run)
    if execution.gradient_checkpointing:
        recompute_activations(model)
    devices = device_group(accelerator, split=execution.shard)
    train_only(model, run)
    _to_devices(model, accelerator.device, devices).train()
    schedule = Schedule.of(run, len(forget) or len(retain))
    topics = dict(topics=[s.topic for s in forget], retain_topics=retain_topics or [None] * len(retain))
    order = Order.of(schedule, run.seed, **topics if forget else dict(topics=[0] * len(retain)))
    optimizer = optimiser(model, run)
    scheduler = LambdaLR(optimizer, lambda step: lr_factor(run.schedule, step, schedule))
    autocast = partial(torch.autocast, accelerator.device.type, dtype=torch.bfloat16, enabled=run.precision == "bf16")
    # Before a checkpoint's weights: the reference is the start.
    cache = _reference_cache(model, run, order, forget, retain, autocast)
    step = Step(model, run, micro_batch=execution.micro_batch, devices=devices, autocast=autocast, cache=cache)
    state = TrainingState(
        output / "checkpoint",
        identity,
        adapters or model,
        optimizer,
        scheduler,
        step,
        every_steps=execution.checkpoint_steps,
        every_minutes=execution.checkpoint_minutes,
        main=accelerator.is_main_process,
        split=devices.split,
        lease=lease,
    )
    progress = Progress(f"{'unlearn' if forget else run.objective} {run.id}", schedule.total, every=every)
    state.resume()
    progress.resume(state.step)
    _between_steps(state, stop, devices)
    if run.lora_start == "fila" and not state.step:
        _start_fila(adapters, run, forget, retain, autocast=autocast, devices=devices, stop=stop)
    while state.step < schedule.total:
        tokens, note = _take_step(state, order, forget, retain)
        lease.look()
        _between_steps(state, stop, devices)
        progress.advance(tokens=tokens, note=note)
    if devices.split:
        shards.gather(model, keep=accelerator.is_main_process)
    if adapters and (accelerator.is_main_process or not devices.split):
        adapters.merge()
    return Trained(
        steps=schedule.total,
        tokens=state.tokens,
        seconds=state.seconds,
        peak_memory_bytes=peak_memory(accelerator.device),
        device=device_name(accelerator.device, count=devices.size),
        main=accelerator.is_main_process,
        state=state,
    )


def _to_devices(model: nn.Module, device: torch.device, devices: DeviceGroup) -> nn.Module:
    """Put the model on this process's device, whole or its share of it."""
    if devices.split:
        packing.prepare(model)
        shards.shard(model, device=device, size=devices.size)
        return model
    return model.to(device)


def _take_step(
    state: TrainingState, order: Order, forget: Sequence[Sample], retain: Sequence[Tokens]
) -> tuple[int, str]:
    """One update, and its rows in the state.

    Returns: the tokens that it read, and its loss in words.

    Raises:
        Diverged: a loss or gradient that is not finite.
    """
    began, step = time.monotonic(), state.update
    epoch, lr = order.schedule.at(state.step)[0] / order.schedule.n, state.scheduler.get_last_lr()[0]
    indices, retained = order.at(state.step)
    samples = [forget[i] for i in indices] if forget else []
    sequences = [retain[i] for i in (retained if forget else indices)]
    state.optimizer.zero_grad(set_to_none=True)
    _seed(step.run.seed, DROPOUT, state.step, step.devices.rank)
    log = step.accumulate(samples, sequences, epoch=epoch)
    norm = nn.utils.clip_grad_norm_(step.forward.model.parameters(), step.run.clip_norm or math.inf)
    norm = float(norm.full_tensor() if step.devices.split else norm)
    loss = float((log.weight_B * log.loss_B).sum()) if forget else math.nan
    _check_finite(state.step, loss if forget else 0.0, log.retain, norm)
    _seed(step.run.seed, ROUNDING, state.step, 0)  # one draw for all devices, whose weights stay the same
    state.optimizer.step()
    state.scheduler.step()
    tokens = sum(len(t.ids) for t in (*(t for s in samples for t in s.sequences), *sequences))
    values = dict(epoch=epoch, lr=lr, loss=loss, norm=norm, tokens=tokens, seconds=time.monotonic() - began)
    state.add(indices if forget else [], log, **values)
    return tokens, f"loss {loss if forget else log.retain:.3f}"


def _between_steps(state: TrainingState, stop: Stop, devices: DeviceGroup) -> None:
    """Write a checkpoint if one is due; if a signal asked any device to stop, write one and end, on all devices after the same step."""
    wanted = devices.largest(2.0 if stop.asked else 1.0 if state.due() else 0.0)  # clocks differ, and all take part
    asked = wanted > 1
    state.keep(now=wanted > 0)
    if asked:
        devices.largest(0.0)  # wait: a launcher whose first process has ended soon kills the one that still writes
        kept = f"the checkpoint in {state.path.parent} will be continued" if state.step else "there is nothing to keep"
        raise Interrupted(
            "stopped-by-signal",
            f"interrupted by {stop.asked or 'a signal to another device'} after step {state.step}; {kept}",
        )


def _seed(seed: int, stream: int, step: int, device: int) -> None:
    """Seed the draws of a stream anew in each step, so that a checkpoint needs no random state."""
    torch.manual_seed(int(np.random.SeedSequence([seed, stream, step, device]).generate_state(1, np.uint64)[0] >> 1))


def _reference_cache(
    model: nn.Module, run: Run, order: Order, forget: Sequence[Sample], retain: Sequence[Tokens], autocast: Any
) -> ReferenceCache:
    """Fill the reference cache with the samples that the run will draw."""
    if not forget:
        return ReferenceCache()
    batches = [[retain[i] for i in order.at(step)[1]] for step in range(order.schedule.total)]
    seen, widths = list(dict.fromkeys(t for batch in batches for t in batch)), None
    if run.rmu_positions == "padded":
        longest = [max((len(t.ids) for t in batch), default=0) for batch in batches]
        together = dict.fromkeys((t, n) for batch, n in zip(batches, longest, strict=True) for t in batch)
        seen, widths = [t for t, _ in together], [n for _, n in together]
    cache = cache_reference(
        model, run, forget=[s.tokens for s in forget], retain=seen, widths=widths, autocast=autocast
    )
    shards.let_go(model)
    return cache


def _adapters(model: nn.Module, run: Run) -> Any:
    """Put the run's LoRA adapters into the model; None if all weights are trained.

    The module is loaded by its name, as a method is, so that an edit of it does not concern runs without adapters.
    """
    if run.lora_rank is None:
        return None
    options = dict(rank=run.lora_rank, alpha=run.lora_alpha, dropout=run.lora_dropout, seed=run.seed)
    if run.lora_base == "nf4":
        options["four_bit"] = torch.float32 if run.precision == "fp32" else torch.bfloat16
    return import_module("baldro.training.adapters").Adapters(model, **options)


def _start_fila(
    adapters: Any,
    run: Run,
    forget: Sequence[Sample],
    retain: Sequence[Tokens],
    *,
    autocast: Any,
    devices: DeviceGroup,
    stop: Stop,
) -> None:
    """Compute FILA's start; all devices take the first device's."""

    def first(factor: torch.Tensor) -> torch.Tensor:
        return devices.total(factor if devices.rank == 0 else torch.zeros_like(factor))

    def check() -> None:
        if devices.size == 1:  # one of several would leave the others waiting
            stop.check("while the adapters' start was made; there is nothing to keep")

    tokens = [sample.tokens for sample in forget]
    adapters.start_fila(tokens, retain, seed=run.seed, autocast=autocast, agreed=first, check=check)


def _check_finite(step: int, forget: float, retain: float, norm: float) -> None:
    for name, value in (("forget loss", forget), ("retain loss", retain), ("gradient norm", norm)):
        if not math.isfinite(value):
            raise Diverged("training-diverged", f"{name} is {'NaN' if math.isnan(value) else value} at step {step + 1}")
