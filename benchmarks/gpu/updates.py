"""One update of every variant against the textbook, in every precision, and whatever the micro-batch.

What may differ, and why. In float32 the update may be off by 1e-5 of its length: some hundred roundings of 6e-8, of random sign
(measured on a CPU: 4e-6). bf16 keeps 8 bits, so each of some twenty products of two layers, forward and backward, is off by up to
2^-9 = 0.2 %: measured on a CPU 3.2e-2 with float32 weights, where they are rounded too, and 1.5e-2 with bf16 ones. Twice the larger is
allowed, since a GPU's sums have another order, and its autocast another list of operations. A sample that is weighed wrongly, a lost
sign or a lost factor shows as 0.1 to 1. One parameter's own part may be off by more, in units of its length: it may be a sum that nearly
cancels (measured: 5e-6 and 4.1e-2).
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from baldro.models import DTYPES, forward, full_float32
from baldro.runs import VARIANTS, Run
from baldro.training.update import Sample, Step, cache_reference
from benchmarks.gpu.given import Check, distances, llama, moved, point, sequences
from benchmarks.gpu.textbook import Textbook, double

FP32, BF16 = (1e-5, 1e-4), (0.06, 0.2)
"""Of the update, and of one parameter's part of it."""
OBJECTIVES: dict[str, dict[str, Any]] = {
    "npo": dict(npo_beta=0.2, dv_beta=3, topk_temperature=0.7, dv_rho=0.3),
    "simnpo": dict(simnpo_beta=1.5, simnpo_delta=6, dv_beta=0.3, topk_temperature=0.1, dv_rho=0.3, forget_weight=1),
    "satimp": dict(satimp_beta1=0.3, dv_beta=0.1, topk_temperature=0.05, dv_rho=0.3, forget_weight=1),
}
"""Hyperparameters that tell the variants apart on these batches."""


class Bench:
    """A model and its reference on a device, their textbook on the CPU, and a batch; all smaller if `quick`."""

    def __init__(self, device: torch.device, precision: str, *, quick: bool, samples: int):
        full_float32()
        self.device, self.precision, self.quick, dtype = device, precision, quick, DTYPES[precision]
        size = dict(width=64, vocab=128) if quick else {}
        model, reference = llama(**size).to(dtype), moved(llama(**size), by=0.01, seed=1).to(dtype)
        some = dict(vocab=model.config.vocab_size)
        self.forget, self.retain = sequences(samples, seed=1, **some), sequences(samples, seed=2, **some)
        self.book = Textbook(double(model), double(reference), self.forget, self.retain)
        self.model, self.reference = model.to(device).train(), reference.to(device)

    def cases(self) -> Iterator[tuple[str, Run]]:
        """Every variant with each of three objectives, a retain loss that compares with the reference, a combiner of two gradients."""
        few = ("base", "baldro-g", "baldro-dv")
        for objective, fields in OBJECTIVES.items():
            for variant in few if self.quick and objective != "npo" else VARIANTS:
                yield f"{objective} {variant}", self.run(objective, variant=variant, **fields)
        for variant in few[2:] if self.quick else few:
            yield f"npo {variant}, retain kl", self.run("npo", variant=variant, retain_loss="kl", **OBJECTIVES["npo"])
            yield f"npo {variant}, blur", self.run("npo", variant=variant, combiner="blur", **OBJECTIVES["npo"])

    def run(self, objective: str, **values: Any) -> Run:
        """A run in this precision; a share that is kept ends where the losses are furthest apart: rounding cannot change who is kept."""
        run = point(objective, precision=self.precision, **values)
        losses_B = self.book.forget_losses(run).detach().sort(descending=True).values
        middle = range(len(losses_B) // 4, 3 * len(losses_B) // 4)
        share = (1 + max(middle, key=lambda i: float(losses_B[i] - losses_B[i + 1]))) / len(losses_B)
        return point(objective, precision=self.precision, g_fraction=share, cvar_alpha=share, **values)

    def steps(self, run: Run, sizes: Sequence[int]) -> list[dict[str, Tensor]]:
        """What the code leaves in `.grad`, with each size of the micro-batch."""
        autocast = partial(torch.autocast, self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16")
        cache = cache_reference(self.reference, run, forget=self.forget, retain=self.retain, autocast=autocast)
        rows = zip(self.forget, self.book.reference, strict=True)
        batch = [Sample(tokens=t, reference=r if run.objective == "npo" else None) for t, r in rows]
        found = []
        for size in sizes:
            self.model.zero_grad(set_to_none=True)
            Step(self.model, run, micro_batch=size, autocast=autocast, cache=cache).accumulate(batch, self.retain)
            found.append({name: p.grad.detach().cpu().double() for name, p in self.model.named_parameters()})
        return found


def compare(name: str, found: dict[str, list[tuple[float, float]]], allowed: tuple[float, float]) -> Check:
    """A check of the largest distances of all cases."""
    worst = {case: tuple(map(max, zip(*pairs, strict=True))) for case, pairs in found.items()}
    update, parameter = (max(worst, key=lambda case: worst[case][i]) for i in (0, 1))
    values = worst[update][0], worst[parameter][1]
    return Check(
        name=name,
        passed=all(value <= most for value, most in zip(values, allowed, strict=True)),
        value=f"{values[0]:.1e} ({update}), of one parameter {values[1]:.1e} ({parameter}); {len(found)} cases",
        allowed=f"{allowed[0]:.0e}, of one parameter {allowed[1]:.0e}",
    )


def against_the_textbook(device: torch.device, quick: bool, *, precision: str, allowed: tuple[float, float]) -> Check:
    """In one pass and in pieces."""
    samples = 8 if quick else 16
    bench, found = Bench(device, precision, quick=quick, samples=samples), {}
    for name, run in bench.cases():
        expected = bench.book.update(run)
        found[name] = [distances(update, expected) for update in bench.steps(run, (2 * samples, 5))]
    return compare(f"one update of every variant is the float64 textbook's, {precision}", found, allowed)


def update_fp32(device: torch.device, quick: bool) -> Check:
    """In float32 throughout."""
    return against_the_textbook(device, quick, precision="fp32", allowed=FP32)


def update_bf16(device: torch.device, quick: bool) -> Check:
    """float32 weights, bf16 arithmetic."""
    return against_the_textbook(device, quick, precision="bf16", allowed=BF16)


def update_bf16_only(device: torch.device, quick: bool) -> Check:
    """bf16 weights; the textbook has the same rounded ones."""
    return against_the_textbook(device, quick, precision="bf16-only", allowed=BF16)


def micro_batches(device: torch.device, quick: bool) -> Check:
    """32 x 1 = 8 x 4 = 1 x 32 = both halves in one pass, of every variant."""
    bench, found = Bench(device, "fp32", quick=quick, samples=32), {}
    for name, run in bench.cases():
        some = name in ("npo base", "npo baldro-g", "npo baldro-dv", "npo chi2", "npo baldro-dv, blur")
        if quick and not some:
            continue
        whole, *others = bench.steps(run, (64, 4, 32, *([1] if some else [])))  # one by one takes longest
        found[name] = [distances(update, whole) for update in others]
    return compare("micro-batches of 32 x 1, 8 x 4, 1 x 32 and one pass give one update, fp32", found, FP32)


def second_derivative(device: torch.device, quick: bool) -> Check:
    """UNO's update has Hessian-vector products, for which fast kernels must stand aside; against the same steps in float64 on the CPU."""
    full_float32()
    run, samples = point("npo", combiner="uno", npo_beta=0.2), 4 if quick else 8
    model = llama(width=64, vocab=128)
    made = sequences(samples, seed=1, vocab=128), sequences(samples, seed=2, vocab=128)
    forget = [Sample(tokens=t, reference=(-3.0,) * t.answer) for t in made[0]]
    found = []
    for network in (double(model), model.to(device)):
        network.zero_grad(set_to_none=True)
        Step(network, run, micro_batch=3).accumulate(forget, made[1])
        found.append({name: p.grad.detach().cpu().double() for name, p in network.named_parameters()})
    return compare(
        "an update with a second derivative is float64's, fp32", {"uno": [distances(found[1], found[0])]}, FP32
    )


def chunked_head(device: torch.device, quick: bool) -> Check:
    """A vocabulary of 128k, as Llama 3's: logits some rows at a time give the update of all at once, in a part of the memory."""
    vocab, samples = (2**10, 4) if quick else (2**17, 64)
    full_float32()
    run, size = point("npo", variant="baldro-dv", npo_beta=0.2, dv_beta=3), 2 * samples
    model = llama(width=64, vocab=vocab).to(device).train()
    forget = [Sample(tokens=t, reference=(-12.0,) * t.answer) for t in sequences(samples, seed=1, vocab=vocab)]
    found, peaks = [], []
    for rows in (10**6, 16):  # at a time
        model.zero_grad(set_to_none=True)
        before = _allocated(device)
        with patch.object(forward, "HEAD_ELEMENTS", rows * vocab):
            Step(model, run, micro_batch=size).accumulate(forget, sequences(samples, seed=2, vocab=vocab))
        peaks.append(_allocated(device, most=True) - before)
        found.append({name: p.grad.detach().cpu().double() for name, p in model.named_parameters()})
    off = distances(found[1], found[0])
    memory = f", {peaks[1] / peaks[0]:.0%} of the memory" if device.type == "cuda" else ""
    return Check(
        name=f"logits of {vocab:,} tokens, 16 rows at a time, give the update of all at once, fp32",
        passed=all(value <= most for value, most in zip(off, FP32, strict=True))
        and (not memory or peaks[1] < peaks[0]),
        value=f"{off[0]:.1e}, of one parameter {off[1]:.1e}{memory}",
        allowed=f"{FP32[0]:.0e}, of one parameter {FP32[1]:.0e}; less memory",
    )


def _allocated(device: torch.device, *, most: bool = False) -> int:
    """Bytes of a GPU's memory: now, from when on the most of them is counted, or that most; 0 on a CPU."""
    if device.type != "cuda":
        return 0
    if most:
        return torch.cuda.max_memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device)
