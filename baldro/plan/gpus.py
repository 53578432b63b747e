"""GPUs: what their data sheets say, and several of one kind in a node."""

import re
from dataclasses import dataclass

from baldro.errors import unknown


@dataclass(frozen=True, kw_only=True)
class GPU:
    """A GPU's data sheet (dense arithmetic, without sparsity)."""

    bf16: float
    """FLOP/s in bf16 with fp32 accumulation."""
    fp32: float
    """FLOP/s in fp32 (PyTorch's default for matrices, no TF32)."""
    memory: float
    """Bytes."""
    bandwidth: float
    """Bytes/s of its memory."""
    link: float = 32e9
    """Bytes/s to the other GPUs of its node, one way; PCIe 4.0 x16 where it has no NVLink."""


GPUS = {
    "a100-40": GPU(bf16=312e12, fp32=19.5e12, memory=40e9, bandwidth=1555e9, link=300e9),
    "a100-80": GPU(bf16=312e12, fp32=19.5e12, memory=80e9, bandwidth=2039e9, link=300e9),
    "h100": GPU(bf16=989e12, fp32=67e12, memory=80e9, bandwidth=3350e9, link=450e9),
    "h200": GPU(bf16=989e12, fp32=67e12, memory=141e9, bandwidth=4800e9, link=450e9),
    "l40s": GPU(bf16=362e12, fp32=91.6e12, memory=48e9, bandwidth=864e9),
    "rtx4090": GPU(bf16=165e12, fp32=82.6e12, memory=24e9, bandwidth=1008e9),
}
"""By NVIDIA's data sheets: A100 (June 2021; SXM, of both sizes), H100 and H200 (SXM), L40S, and the white paper of Ada for the RTX 4090."""


def named(text: str) -> tuple[str, GPU, int | None]:
    """Name, data sheet and number of GPUs that a text names: *h200* (no number), *4xa100-40*.

    Raises:
        BaldroError: no such GPU.
    """
    number, name = re.fullmatch(r"(?:([1-9]\d*)x)?(.*)", text, re.DOTALL).groups()
    if name not in GPUS:
        raise unknown("GPU", name, GPUS)
    return name, GPUS[name], int(number) if number else None
