"""One training step, ours beside the textbook's, on a model of a published shape; time and memory beside what the plan says.

The textbook: a forward pass for the forget batch and one for the retain batch, the logits of every position and word in float32, and the
reference model in memory, which goes forward in every step.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from baldro.errors import OutOfMemory
from baldro.models import DTYPES, norms
from baldro.plan import passes
from baldro.plan.gpus import GPU
from baldro.prompts.batches import Batch, collate
from baldro.prompts.encode import Tokens
from baldro.runs import Run
from baldro.scoring import reference
from baldro.training.optimizer import optimiser
from baldro.training.update import ReferenceCache, Sample, Step
from benchmarks.gpu.planned import Planned
from benchmarks.gpu.record import Context
from benchmarks.gpu.work import Shape, build, free, gigabytes, sequences, timed

BETA, DV_BETA = 0.1, 2.0
AGREE = {"fp32": 1e-4, "bf16": 5e-2, "bf16-only": 1e-1}
"""Largest relative difference of the gradients that are compared: bf16 keeps 8 bits, and the two ways add in another order."""
SOFTMAX = 3
"""So many times as much for BalDRO-DV, whose weights are a softmax of losses that are sums over some 36 tokens: where these are 0.06 nats
off in each way, weights are by 3 % (0.07 was measured on an H200, where base and BalDRO-G had 0.02)."""
COMPARED = 4
"""Matrices whose gradients are compared: the first and last ones of the model, all of a small one."""


@dataclass(frozen=True)
class Case:
    """How a step is taken."""

    precision: str
    variant: str
    lora_rank: int | None = None
    micro_batch: int | None = None
    """None: the largest that the plan finds room for."""
    textbook: bool = True
    objective: str = "npo"
    optimiser: str = "adamw"
    lora_base: str | None = None

    @property
    def label(self) -> str:
        own = [self.optimiser] if self.optimiser != "adamw" else []
        own += [f"LoRA {self.lora_rank}"] if self.lora_rank else []
        return ", ".join([self.precision, *own, *([self.lora_base] if self.lora_base else [])])

    @property
    def storage(self) -> str:
        """Cases of one storage share a model: bf16 weights, or float32 ones."""
        return "bf16-only" if DTYPES[self.precision] == torch.bfloat16 else "bf16"

    @property
    def order(self) -> tuple[bool, bool, bool]:
        """Adapters last, since they change the model, and a 4-bit base behind them; before them what needs the textbook's second model."""
        return self.lora_rank is not None, self.lora_base is not None, not self.textbook


def cases(place: int) -> list[Case]:
    """Those of the first model, of the second, which are fewer, and of the others, which are the fewest."""
    variants = ("base", "baldro-g", "baldro-dv")
    full = [Case("bf16-only", v) for v in variants]
    masters = [Case("bf16", v) for v in variants]
    lora = [Case("bf16", "baldro-dv", lora_rank=32, textbook=False)]
    small = []
    if find_spec("bitsandbytes"):
        small = [Case("bf16-stochastic", "baldro-dv", optimiser="adamw-8bit", textbook=False)]
        lora += [Case("bf16", "baldro-dv", lora_rank=32, lora_base="nf4", textbook=False)]
    if place > 1:
        return [*full[2:], *lora]
    if place == 1:
        return [*full, *small, *masters[2:], *lora]
    pieces = [Case("bf16", v, micro_batch=8, textbook=False) for v in variants[1:]]
    others = [Case("bf16", "baldro-dv", objective=o, textbook=False) for o in ("simnpo", "satimp")]
    return [*full[:1], *small, *masters, *pieces, *others, Case("fp32", "base"), *lora]


class Bench:
    """The models of one shape and storage, and a batch; made once for all cases that share them.

    Args:
        precision: bf16-only for weights stored in bf16, else float32.
        forget, retain: the batch, of which every case takes all.
    """

    def __init__(
        self, shape: Shape, precision: str, *, device: torch.device, forget: list[Tokens], retain: list[Tokens]
    ):
        self.shape, self.precision, self.device = shape, precision, device
        self.dtype = DTYPES[precision]
        self.model = build(shape, dtype=self.dtype, device=device)
        self.before = build(shape, dtype=self.dtype, device=device, seed=1).eval()
        self.forget, self.retain = forget, retain
        self.forget_batch, self.retain_batch = collate(forget, device), collate(retain, device)
        self._samples: dict[str, list[Sample]] = {}
        self.adapted = False
        """Whether the model has adapters, and is of no use to other cases."""

    def samples(self, precision: str) -> list[Sample]:
        """The forget samples with the reference's log-probabilities, computed as a run of this precision computes."""
        if precision not in self._samples:
            with self.autocast(precision)():
                rows = reference(self.before, self.forget)["token_logp"]
            made = [Sample(tokens=t, reference=r.tolist()) for t, r in zip(self.forget, rows, strict=True)]
            self._samples[precision] = made
        return self._samples[precision]

    def autocast(self, precision: str) -> Any:
        """Makes the context of a forward pass."""
        return partial(torch.autocast, self.device.type, dtype=torch.bfloat16, enabled=precision == "bf16")

    @property
    def reference_bytes(self) -> int:
        """What the textbook's second model takes, which is none of ours."""
        return 0 if self.before is None else sum(p.numel() * p.element_size() for p in self.before.parameters())

    def drop_reference(self) -> None:
        """The textbook's second model is no longer in memory."""
        self.before = None
        free(self.device)


def rows(
    shape: Shape, planned: Planned, gpu: GPU, peak: dict[str, float], context: Context, *, batch: int, place: int
) -> Iterator[dict[str, Any]]:
    """A row a case, storage after storage, so that few models are built.

    Args:
        peak: measured FLOP/s of a matrix product by type.
        batch: forget samples of a step, and as many retain samples.
        place: of the model among those that are measured, from 0.
    """
    forget, retain = (sequences(batch, shape.vocab_size, seed=seed) for seed in (1, 2))
    wanted = cases(place)
    for storage in ("bf16-only", "bf16"):  # the smaller first: where the larger does not fit, there is something
        some = [case for case in wanted if case.storage == storage]
        bench = None
        for case in sorted(some, key=lambda case: case.order):
            if context.left() < 0:
                return
            run = planned.run(**_fields(case, batch))
            micro_batch = _room(planned, run, case, gpu, batch)
            if micro_batch is None:
                yield _row(shape, case, run, why=f"not tried: {planned.memory(run, 1) / 1e9:.0f} GB by the plan")
                continue
            for textbook in (True, False) if case.textbook else (False,):
                try:
                    if bench and bench.adapted:
                        bench = None
                        free(context.device)
                    bench = bench or Bench(shape, storage, device=context.device, forget=forget, retain=retain)
                    yield _measured(bench, case, run, micro_batch, planned, gpu, peak, textbook=textbook)
                    break
                except (
                    torch.OutOfMemoryError,
                    OutOfMemory,
                ):  # perhaps there is room without the textbook's second model
                    if not textbook:
                        yield _row(shape, case, run, why="out of memory", micro_batch=micro_batch)
                        bench = None
                free(context.device)
        del bench
        free(context.device)


def _fields(case: Case, batch: int) -> dict[str, Any]:
    fields = {"objective": case.objective, "precision": case.precision, "variant": case.variant, "batch_size": batch}
    fields |= {"optimiser": case.optimiser} if case.optimiser != "adamw" else {}
    fields |= {"lora_rank": case.lora_rank, "lora_alpha": 64} if case.lora_rank else {}
    fields |= {"lora_base": case.lora_base} if case.lora_base else {}
    return fields | ({"dv_beta": DV_BETA} if case.variant == "baldro-dv" else {})


def _room(planned: Planned, run: Run, case: Case, gpu: GPU, batch: int) -> int | None:
    """Sequences in a pass: the case's own, or the most for which the plan sees room."""
    tried = [case.micro_batch] if case.micro_batch else [2 * batch, batch, batch // 2, 8, 4, 2, 1]
    return next((n for n in tried if n and planned.memory(run, n) <= gpu.memory), None)


def _measured(
    bench: Bench,
    case: Case,
    run: Run,
    micro_batch: int,
    planned: Planned,
    gpu: GPU,
    peak: dict[str, float],
    *,
    textbook: bool,
) -> dict[str, Any]:
    model, autocast, samples = bench.model.train(), bench.autocast(case.precision), bench.samples(case.precision)
    if not textbook:
        bench.drop_reference()
    if case.lora_rank:
        from baldro.training.adapters import Adapters

        bench.adapted = True
        Adapters(model, rank=case.lora_rank, alpha=64, four_bit=torch.bfloat16 if case.lora_base else None)
        model.to(bench.device)
    step = Step(model, run, micro_batch=micro_batch, autocast=autocast, cache=ReferenceCache())
    optimizer = optimiser(model, run)
    for group in optimizer.param_groups:
        group["lr"] = 0.0  # so that every repetition has the same weights

    def ours() -> None:
        optimizer.zero_grad(set_to_none=True)
        step.accumulate(samples, bench.retain)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    def by_the_book() -> None:
        optimizer.zero_grad(set_to_none=True)
        _textbook(bench, run, autocast)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    theirs, agreement = None, None
    if textbook:
        agreement = _agreement(bench, samples, run, step, autocast)
    mine = timed(ours, bench.device, repetitions=2, beside=bench.reference_bytes)
    if textbook:
        with suppress(torch.OutOfMemoryError):
            theirs = timed(by_the_book, bench.device, repetitions=2)
    optimizer.zero_grad(set_to_none=True)
    found = dict(micro_batch=micro_batch, mine=mine, theirs=theirs, agreement=agreement)
    tokens = sum(len(t.ids) for t in (*bench.forget, *bench.retain))
    per_row = sum(len(t.ids) for t in bench.forget) / len(bench.forget)
    work = 2 * bench.shape.parameters * passes.per_row(run, micro_batch=micro_batch) * run.batch_size * per_row
    share = None if case.lora_rank else work / mine.seconds / peak["fp32" if case.precision == "fp32" else "bf16"]
    estimate = planned.step_seconds(run, gpu), planned.memory(run, micro_batch)
    return _row(bench.shape, case, run, tokens=tokens, share=share, estimate=estimate, **found)


def _row(shape: Shape, case: Case, run: Run, *, why: str = "", **found: Any) -> dict[str, Any]:
    mine, theirs, agreement = found.get("mine"), found.get("theirs"), found.get("agreement")
    plan_seconds, plan_bytes = found.get("estimate", (None, None))
    allowed = AGREE.get(case.precision, 0) * (SOFTMAX if case.variant == "baldro-dv" else 1)
    wrong = agreement is not None and not agreement <= allowed
    return {
        "model": shape.name,
        "step": f"{case.objective} {case.variant}",
        "precision": case.label,
        "in a pass": found.get("micro_batch"),
        "s": mine and mine.seconds,
        "tokens/s": mine and found["tokens"] / mine.seconds,
        "share of peak": found.get("share"),
        "peak GB": mine and gigabytes(mine.peak_bytes),
        "plan s": plan_seconds,
        "plan GB": gigabytes(plan_bytes),
        "textbook": theirs and f"{theirs.seconds / mine.seconds:.2f}x",
        "textbook GB": theirs and gigabytes(theirs.peak_bytes),
        "gradients differ by": agreement,
        "note": why
        or ("more than allowed" if wrong else "textbook out of memory" if case.textbook and not theirs else ""),
        "failed": wrong,
    }


def _agreement(bench: Bench, samples: list[Sample], run: Run, step: Step, autocast: Any) -> float:
    """Largest relative L2 difference of some gradients between ours and the textbook's."""
    matrices = [p for p in bench.model.parameters() if p.ndim > 1]
    chosen = matrices if len(matrices) <= 2 * COMPARED else [*matrices[:COMPARED], *matrices[-COMPARED:]]
    found = []
    for way in (lambda: step.accumulate(samples, bench.retain), lambda: _textbook(bench, run, autocast)):
        bench.model.zero_grad(set_to_none=True)
        way()
        found.append([p.grad.float() for p in chosen])
        bench.model.zero_grad(set_to_none=True)
    return max(float((a - b).norm() / b.norm()) for a, b in zip(*found, strict=True))


@norms.as_written()
def _textbook(bench: Bench, run: Run, autocast: Any) -> None:
    logp_BT = _answer_logp(bench.model, bench.forget_batch, autocast)
    with torch.no_grad():
        reference_BT = _answer_logp(bench.before, bench.forget_batch, autocast)
    loss_B = -2 / BETA * F.logsigmoid(-BETA * (logp_BT.sum(1) - reference_BT.sum(1)))
    if run.variant == "baldro-dv":
        robust = DV_BETA * torch.logsumexp(loss_B / DV_BETA, 0)
    elif run.variant == "baldro-g":
        robust = loss_B.topk(max(1, len(loss_B) // 2)).values.mean()
    else:
        robust = loss_B.mean()
    retained = -_answer_logp(bench.model, bench.retain_batch, autocast).sum() / bench.retain_batch.answer_BL.sum()
    (robust + retained).backward()


def _answer_logp(model: nn.Module, batch: Batch, autocast: Any) -> Tensor:
    """Per position (B, L - 1), 0 outside the answers; from whole logits."""
    context: AbstractContextManager = autocast()
    with context:
        logits = model(input_ids=batch.ids_BL, attention_mask=torch.ones_like(batch.ids_BL)).logits[:, :-1].float()
    logp_BL = torch.log_softmax(logits, -1).gather(-1, batch.ids_BL[:, 1:, None])[..., 0]
    return logp_BL * batch.answer_BL[:, 1:]
