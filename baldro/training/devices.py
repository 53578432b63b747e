"""The devices that a training runs on: found, grouped, and described for run.json."""

import os
import resource

import torch
from accelerate import Accelerator

from baldro.models import full_float32
from baldro.training.update import DeviceGroup


def accelerated() -> Accelerator:
    """Find the devices of this process and of its launcher's others; float32 products keep their 24 bits from now on."""
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    accelerator = Accelerator(cpu=several and not torch.cuda.is_available())  # which does not see that there is no GPU
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


def device_name(device: torch.device) -> str:
    """`cuda: NVIDIA H100`, or `cpu: 2 threads`."""
    if device.type == "cuda":
        return f"cuda: {torch.cuda.get_device_name(device)}"
    return f"{device.type}: {torch.get_num_threads()} threads"
