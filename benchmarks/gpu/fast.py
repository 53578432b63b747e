"""How fast: training steps, likelihoods and generation of models of published shapes with random weights, and the plan's constants."""

from collections.abc import Iterator
from typing import Any

import torch

from baldro.models import full_float32
from baldro.plan import cost
from baldro.plan.gpus import GPU
from benchmarks.gpu import generating, scoring, steps
from benchmarks.gpu.planned import Planned, card, memory_of
from benchmarks.gpu.record import Context
from benchmarks.gpu.work import QUICK, SHAPES, Shape, build, copy_rate, free, matrix_peak, sequences

OFF = 1.5
"""How far an estimate of the plan may be off before its constant is to be corrected."""
THIRD = 2
"""Models that transformers' `generate_batch` is timed on, the first ones; more would take the time of the others."""


def rows(context: Context) -> Iterator[dict[str, Any] | str]:
    """The card's own figures, then model by model, then the plan's constants as this card has them."""
    device, quick = context.device, context.quick
    full_float32()
    size, elements = (256, 10**6) if quick else (8192, 2**28)
    peak = {name: matrix_peak(device, dtype, size=size) for name, dtype in _TYPES.items()}
    rate = copy_rate(device, elements=elements)
    name, gpu = card(
        torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        **peak, bandwidth=rate, memory=memory_of(device),
    )  # fmt: skip
    for what, measured, sheet in (
        ("bf16 matrix product, FLOP/s", peak["bf16"], gpu.bf16),
        ("fp32 matrix product, FLOP/s", peak["fp32"], gpu.fp32),
        ("copy, bytes/s", rate, gpu.bandwidth),
        ("memory, bytes", memory_of(device), gpu.memory),
    ):
        yield {"card": what, "measured": f"{measured:.3g}", f"the plan's {name}": f"{sheet:.3g}"}
    gpu = GPU(bf16=gpu.bf16, fp32=gpu.fp32, bandwidth=gpu.bandwidth, memory=min(gpu.memory, memory_of(device)))
    free(device)
    batch, count, limit = (4, 3, 12) if quick else (32, 32, 96)
    found: list[tuple[Shape, dict[str, Any]]] = []
    for make, at in _ORDER:
        if at >= len(shapes := QUICK if quick else SHAPES):
            continue
        for row in make(shapes[at], at, context, gpu, peak, batch=batch, count=count, limit=limit):
            found.append((shapes[at], row))
            yield row
        if context.left() < 0:
            yield f"stopped after {shapes[at].name}: the budget is over"
            break
    yield from _constants(found, gpu, on_gpu=device.type == "cuda", count=count, limit=limit)


_TYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


def _planned(shape: Shape, count: int, limit: int) -> Planned:
    draw = sequences(200, 100, seed=0)
    return Planned(shape, rows=count, tokens=sum(len(s.ids) for s in draw) / len(draw), limit=limit)


def _steps(
    shape: Shape, place: int, context: Context, gpu: GPU, peak: dict[str, float], *, batch: int, count: int, limit: int
) -> Iterator[dict[str, Any]]:
    yield from steps.rows(shape, _planned(shape, count, limit), gpu, peak, context, batch=batch, place=place)


def _scoring(
    shape: Shape, place: int, context: Context, gpu: GPU, peak: dict[str, float], *, batch: int, count: int, limit: int
) -> Iterator[dict[str, Any]]:
    planned = _planned(shape, count, limit)
    for dtype in (torch.float32, torch.bfloat16) if place == 0 else (torch.bfloat16,):
        if context.left() < 0:
            return
        model = build(shape, dtype=dtype, device=context.device)
        own = peak["fp32" if dtype == torch.float32 else "bf16"]
        yield from scoring.rows(model, shape, planned, gpu, own, context.device, count=count)
        prompts = count * len(scoring.ANSWERS)
        yield from generating.rows(
            model, shape, planned, gpu, context.device, count=prompts, limit=limit, third=place < THIRD
        )
        del model
        free(context.device)


_ORDER = ((_steps, 0), (_steps, 1), (_scoring, 0), (_scoring, 1), (_steps, 2), (_scoring, 2))
"""What is timed and on which model: where the budget ends early, there are steps of the first two and one's scoring."""


def _constants(
    found: list[tuple[Shape, dict[str, Any]]], gpu: GPU, *, on_gpu: bool, count: int, limit: int
) -> Iterator[dict[str, Any]]:
    """What the plan assumes, beside what this card says: of the largest model that was measured, or of the smallest for launches."""
    trained = [
        (s, r) for s, r in found if r.get("step", "").endswith(" base") and r["s"] and r["precision"].startswith("bf16")
    ]
    scored = [(s, r) for s, r in found if r.get("scoring", "").startswith("likelihoods") and r["type"] == "bfloat16"]
    said = [(s, r) for s, r in found if r.get("scoring", "").startswith("continuations") and r["type"] == "bfloat16"]
    if trained:
        _, row = trained[-1]
        yield _constant(
            "TRAIN_SHARE", cost.TRAIN_SHARE, row["tokens/s"] and _share_of_sheet(trained[-1], gpu), row, on_gpu
        )
    if scored:
        shape, row = scored[-1]
        yield _constant("SCORE_SHARE", cost.SCORE_SHARE, 2 * shape.parameters * row["tokens/s"] / gpu.bf16, row, on_gpu)
    if said:
        passes = limit * -(-len(scoring.ANSWERS) * count // cost.SEQUENCES)
        shape, row = min(said, key=lambda pair: pair[0].parameters)
        yield _constant("LAUNCH", cost.LAUNCH, row["s"] / passes / shape.num_hidden_layers, row, on_gpu)
        shape, row = max(said, key=lambda pair: pair[0].parameters)
        rate = passes * 2 * shape.parameters / row["s"]
        yield _constant("BANDWIDTH_SHARE", cost.BANDWIDTH_SHARE, rate / gpu.bandwidth, row, on_gpu)


def _share_of_sheet(pair: tuple[Shape, dict[str, Any]], gpu: GPU) -> float:
    """Of the data sheet's arithmetic, what the optimiser's memory traffic takes left out, as the plan counts it."""
    shape, row = pair
    traffic = (
        shape.parameters * (14 if row["precision"] == "bf16-only" else 28) / (cost.BANDWIDTH_SHARE * gpu.bandwidth)
    )
    seconds = max(row["s"] - traffic, 0.1 * row["s"])
    return 6 * shape.parameters * row["tokens/s"] * row["s"] / seconds / gpu.bf16


def _constant(name: str, plan: float, measured: float, row: dict[str, Any], on_gpu: bool) -> dict[str, Any]:
    off = max(plan / measured, measured / plan)
    return {
        "constant of baldro/plan/cost.py": name,
        "plan": plan,
        "this card": measured,
        "from": f"{row['model']}, {row.get('step') or row['scoring']}",
        "off by": f"{off:.2f}x" + (", to be corrected" if off > OFF and on_gpu else ""),
    }
