"""Short trainings on a device: stopped and resumed, twice the same, float32 in float32, out of memory in one line, peak memory.

What may differ: on a CPU nothing does, to the last bit. On a GPU the backward passes of attention may add in any order; then two equal
trainings differ, the check says by how much, and a resumed one may differ by ten times that.
"""

import gc
import math
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn

from baldro.durable.lease import Interrupted, Lease, Stop
from baldro.errors import BaldroError
from baldro.models import DTYPES, cast
from baldro.prompts.encode import Tokens
from baldro.scoring import reference
from baldro.training.rounding import draw, stochastic
from baldro.training.update import Sample
from benchmarks.gpu.given import Check, apart, llama, point, train

KINDS: dict[str, dict[str, Any]] = {
    "fp32": dict(precision="fp32"),
    "bf16": dict(precision="bf16"),
    "bf16-only": dict(precision="bf16-only"),
    "bf16-stochastic": dict(precision="bf16-stochastic"),
    "LoRA": dict(precision="bf16", lora_rank=4, lora_alpha=8, lora_dropout=0.1),
    "retain kl": dict(precision="fp32", retain_loss="kl"),
    "blur": dict(precision="fp32", combiner="blur"),
}
if find_spec("bitsandbytes"):
    KINDS |= {f"8-bit, {name}": dict(precision=name, optimiser="adamw-8bit") for name in ("bf16", "bf16-stochastic")}
    KINDS["LoRA, 4 bits"] = dict(precision="bf16", lora_rank=4, lora_alpha=8, lora_base="nf4")
QUICK = ("fp32", "LoRA")
MATRIX = 1024


def _run(**values: Any) -> Any:
    usual = dict(variant="baldro-dv", dv_beta=5, lr=1e-3, batch_size=5, epochs=3, warmup_epochs=1)
    return point("npo", **usual | values)


def _start(kind: str) -> nn.Module:
    return cast(llama(width=64, dropout=0.1, vocab=128), DTYPES[KINDS[kind]["precision"]])


class _Signalled(Lease):
    """Sends this process a real SIGTERM after some steps."""

    def __init__(self, after: int):
        super().__init__()
        self.left = after

    def look(self) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGTERM)


def _resumed(device: torch.device, folder: Path, kind: str) -> nn.Module:
    """Stopped by a signal after the fourth of nine steps, and continued by what stands for another process."""
    try:
        with Stop() as stop:
            train(device, folder, _run(**KINDS[kind]), model=_start(kind), lease=_Signalled(4), stop=stop)
    except Interrupted:
        return train(device, folder, _run(**KINDS[kind]), model=_start(kind))[0]
    raise RuntimeError("the signal did not stop the training")


def _distances(device: torch.device, kind: str) -> tuple[float, float]:
    """How far two equal trainings are apart, and a resumed one from the first, both in units of how far training moved the weights."""
    with TemporaryDirectory() as place:
        first, second = (train(device, Path(place, name), _run(**KINDS[kind]), model=_start(kind))[0] for name in "ab")
        resumed = _resumed(device, Path(place, "c"), kind)
    start = _start(kind)
    return apart(second, first, start), apart(resumed, first, start)


def resume(device: torch.device, quick: bool) -> Check:
    """An interrupted and resumed training has the weights of an undisturbed one; and whether two undisturbed ones are the same."""
    found = {kind: _distances(device, kind) for kind in (QUICK if quick else KINDS)}
    told = [
        f"{kind} {again:.0e} (twice the same: {twice:.0e})" for kind, (twice, again) in found.items() if again or twice
    ]
    return Check(
        name="interrupted and resumed = undisturbed",
        passed=all(again <= 10 * twice for twice, again in found.values()),
        value="; ".join(told) or f"equal to the last bit, twice the same too: {', '.join(found)}",
        allowed="equal, or 10 times what two equal trainings differ by",
    )


def rounding(device: torch.device, quick: bool) -> Check:
    """Stochastic rounding has the value as its mean, and leaves what bf16 holds as it is."""
    torch.manual_seed(0)
    value, held = torch.full((1 << 20,), 1.001, device=device), torch.randn(1 << 20, device=device).bfloat16()
    off = float(stochastic(value, draw(value)).double().mean() - value[0].double())
    most = 5 * 2**-7 / 2 / 2**10  # five standard deviations of the mean: of one, at most half of bf16's gap
    stays = torch.equal(stochastic(held.float(), draw(held)), held)
    return Check(
        name="stochastic rounding is right on average",
        passed=abs(off) < most and stays,
        value=f"off by {off:.1e}, what bf16 holds {'stays' if stays else 'MOVES'}",
        allowed=f"{most:.0e}",
    )


def float32(device: torch.device, quick: bool) -> Check:
    """Training switches TF32 off, whatever the container or a launcher has set."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        with TemporaryDirectory() as place:
            train(device, Path(place), _run(max_steps=1), model=_start("fp32"))
        draw = torch.Generator().manual_seed(0)
        a, b = (torch.randn(MATRIX, MATRIX, generator=draw) for _ in range(2))
        exact = a.double() @ b.double()
        off = float(((a.to(device) @ b.to(device)).cpu().double() - exact).norm() / exact.norm())
    finally:
        torch.set_float32_matmul_precision(before)
    return Check(
        name="float32 products are float32's, not TF32's", passed=off < 1e-5, value=f"{off:.1e}",
        allowed="1e-05 (TF32: 3e-04)",
    )  # fmt: skip


def peak_memory(device: torch.device, quick: bool) -> Check:
    """What a training reports is the device's, and at least the weights, their gradients and AdamW's two moments."""
    model = _start("fp32")
    least = 16 * sum(p.numel() for p in model.parameters())
    with TemporaryDirectory() as place:
        _, done = train(device, Path(place), _run(max_steps=2), model=model)
    told = done.peak_memory_bytes
    most = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else math.inf
    return Check(
        name="peak memory is the device's",
        passed=least <= told <= most and done.device.startswith(device.type),
        value=f"{told / 2**20:.0f} MiB on {done.device}",
        allowed=f"at least {least / 2**20:.1f} MiB, and what torch counts",
    )


# Out of memory -------------------------------------------------------------------------------------------------------


@contextmanager
def _no_room(device: torch.device, model: nn.Module) -> Iterator[None]:
    """A quarter of a gigabyte for this process; on a CPU, which swaps or kills instead, torch's error from the model's first layer."""
    if device.type == "cuda":
        gc.collect()
        torch.cuda.empty_cache()
        total = torch.cuda.get_device_properties(device).total_memory
        card = torch.cuda.current_device() if device.index is None else device.index
        torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved(card) + 2**28) / total, card)
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0, card)
            gc.collect()
            torch.cuda.empty_cache()
        return

    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError(
            "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.11 GiB. And so on."
        )

    hook = model.get_input_embeddings().register_forward_hook(full)
    try:
        yield
    finally:
        hook.remove()


def _line(action: Callable[[], Any]) -> str:
    """The one line that it ends in."""
    try:
        action()
    except BaldroError as error:
        return str(error)
    except Exception as error:
        return f"{type(error).__name__}, a trace"
    return "nothing was raised"


def out_of_memory(device: torch.device, quick: bool) -> Check:
    """Training and scoring in passes that do not fit say in one line what to lower; afterwards the device trains again."""
    count, length = (512, 512) if device.type == "cuda" else (8, 16)
    many = [Tokens(ids=(3,) * length, start=2)] * count
    model, run = llama(width=256), point("npo", batch_size=count, max_steps=1)

    def training() -> None:
        forget = [Sample(tokens=t, reference=(-3.0,) * t.answer) for t in many]
        train(device, Path(place), run, model=model, forget=forget, retain=many, micro_batch=2 * count)

    with TemporaryDirectory() as place:
        with _no_room(device, model):
            lines = {"micro_batch": _line(training)}
        model.to(device)
        with _no_room(device, model):
            lines["batch_tokens"] = _line(lambda: reference(model, many, batch_tokens=count * length))
        train(device, Path(place), _run(max_steps=1), model=_start("fp32"))
    wrong = [line for word, line in lines.items() if not (line.startswith("out of memory: ") and word in line)]
    return Check(
        name="out of memory is one line", passed=not wrong, value=(wrong or list(lines.values()))[0],
        allowed="what did not fit, and what to lower",
    )  # fmt: skip
