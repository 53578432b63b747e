"""The devices that a training runs on: found, grouped, and described for run.json."""

import os
import resource
from datetime import timedelta

import torch
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs

from baldro.errors import BaldroError
from baldro.models import full_float32
from baldro.training.update import DeviceGroup

WAIT = timedelta(days=2)
"""How long a process waits for another: one may write a large model to a slow disk, load it, judge all texts or generate the longest
ones while the others have nothing to do, and torch's own 10 minutes (NCCL) would end a job that is well. A process that is lost ends the
others at once (`baldro.jobs.several`, or torch's launcher)."""


def accelerated() -> Accelerator:
    """Find the devices of this process and of its launcher's others; float32 products keep their 24 bits from now on.

    Raises:
        BaldroError: more processes on this machine than it has GPUs, if it has any.
    """
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    here = int(os.environ.get("LOCAL_WORLD_SIZE", os.environ.get("WORLD_SIZE", "1")))
    if several and torch.cuda.is_available() and (there := torch.cuda.device_count()) < here:
        raise BaldroError(
            "too-few-gpus",
            f"{here} GPUs are asked for, and this process sees {there}; allowed: at most {there} (gpu in a model's needs)",
        )
    accelerator = Accelerator(
        cpu=several and not torch.cuda.is_available(),  # it does not see that there is no GPU
        kwargs_handlers=[InitProcessGroupKwargs(timeout=WAIT)],
    )
    full_float32()  # after accelerate, which may have switched it off
    return accelerator


def device_group(accelerator: Accelerator, *, split: bool = False) -> DeviceGroup:
    """The devices that share a step.

    Args:
        split: whether each holds a share of the model alone; of one device there is nothing to split.
    """

    def total(tensor: torch.Tensor) -> torch.Tensor:
        return accelerator.reduce(tensor.to(accelerator.device), reduction="sum").to(tensor.device)

    if accelerator.num_processes == 1:
        return DeviceGroup()
    return DeviceGroup(rank=accelerator.process_index, size=accelerator.num_processes, total=total, split=split)


def peak_memory(device: torch.device) -> int:
    """Largest memory of the process so far, in bytes: on the GPU if it runs there, else resident in RAM."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def device_name(device: torch.device, *, count: int = 1) -> str:
    """`cuda: NVIDIA H100`, or `cpu: 2 threads`; of several `4 x cuda: NVIDIA H100`."""
    several = f"{count} x " * (count > 1)
    if device.type == "cuda":
        return f"{several}cuda: {torch.cuda.get_device_name(device)}"
    return f"{several}{device.type}: {torch.get_num_threads()} threads"
