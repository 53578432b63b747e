"""Likelihoods, ours beside the textbook's and beside what the plan says; the columns of the rows of scoring.

The textbook: every candidate answer by itself, in batches as they come, the logits of every position in float32.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from baldro.models import any_shape, norms
from baldro.plan.gpus import GPU
from baldro.prompts.encode import Tokens
from baldro.scoring.likelihood import likelihoods
from benchmarks.gpu.planned import Planned
from benchmarks.gpu.work import Shape, Timed, candidates, gigabytes, timed

ANSWERS = (7, 7, 4, 4)
"""Candidates of a question in each section, as TOFU has them."""
BATCH_TOKENS = 65536
TEXTBOOK_BATCH = 32
DIFFERENCE = {torch.float32: 1e-4, torch.bfloat16: 5e-2}
"""Largest difference of a mean log-likelihood, in nats: bf16 keeps 8 bits of each hidden state."""


def rows(
    model: nn.Module,
    shape: Shape,
    planned: Planned,
    gpu: GPU,
    peak: float,
    device: torch.device,
    *,
    count: int,
) -> Iterator[dict[str, Any]]:
    """A row.

    Args:
        count: questions of each of the four sections.
    """
    model.eval()
    dtype = next(model.parameters()).dtype
    plan, _ = planned.scoring(gpu)
    some, asked = [], []
    for seed, each in enumerate(ANSWERS):
        more, own = candidates(count, each, shape.vocab_size, seed=seed)
        some, asked = [*some, *more], [*asked, *((seed, q) for q in own)]
    mine: list[float] = [0.0] * len(some)

    @any_shape()
    def ours() -> None:
        for batch, found in likelihoods(model, some, asked, batch_tokens=BATCH_TOKENS):
            for i, row in zip(batch, found, strict=True):
                mine[i] = row["avg_loss"]

    one = timed(ours, device, repetitions=2)
    theirs: list[float] = []
    other = tried(
        lambda: timed(lambda: theirs.__setitem__(slice(None), _whole_logits(model, some)), device, repetitions=1)
    )
    gap = float(np.abs(np.subtract(mine, theirs)).max()) if other else None
    tokens = sum(len(s.ids) for s in some)
    wrong = gap is not None and not gap <= DIFFERENCE[dtype]
    yield row(
        shape, f"likelihoods of {len(some)} answers", dtype, one, other, tokens / one.seconds, plan,
        share=2 * shape.parameters * tokens / one.seconds / peak,
        note=("" if gap is None else f"largest difference {gap:.1e} nats") + (", MORE THAN ALLOWED" if wrong else ""),
        failed=wrong,
    )  # fmt: skip


def tried(function: Callable[[], Any]) -> Any:
    """None where the textbook's way runs out of memory."""
    try:
        return function()
    except torch.OutOfMemoryError:
        return None


@norms.as_written()
@torch.inference_mode()
def _whole_logits(model: nn.Module, some: list[Tokens]) -> list[float]:
    """Mean negative log-likelihood of each answer."""
    device, result = next(model.parameters()).device, []
    for at in range(0, len(some), TEXTBOOK_BATCH):
        batch = some[at : at + TEXTBOOK_BATCH]
        longest = max(len(s.ids) for s in batch)
        ids = torch.tensor([[*s.ids, *[0] * (longest - len(s.ids))] for s in batch], device=device)
        mask = torch.tensor([[1] * len(s.ids) + [0] * (longest - len(s.ids)) for s in batch], device=device)
        logp = model(input_ids=ids, attention_mask=mask).logits[:, :-1].float().log_softmax(-1)
        token_logp = logp.gather(-1, ids[:, 1:, None])[..., 0].cpu().double()
        result += [-float(token_logp[b, s.start - 1 : len(s.ids) - 1].mean()) for b, s in enumerate(batch)]
    return result


def row(
    shape: Shape, what: str, dtype: torch.dtype, one: Timed | None, other: Timed | None, rate: float | None, plan: float, *,
    share: float | None, note: str, failed: bool,
) -> dict[str, Any]:  # fmt: skip
    return {
        "model": shape.name,
        "scoring": what,
        "type": str(dtype).removeprefix("torch."),
        "s": one and one.seconds,
        "tokens/s": rate,
        "share of peak": share,
        "peak GB": one and gigabytes(one.peak_bytes),
        "plan s": plan,
        "textbook": one and other and f"{other.seconds / one.seconds:.2f}x",
        "textbook GB": other and gigabytes(other.peak_bytes),
        "note": note if other else f"{note}; textbook out of memory",
        "failed": failed,
    }
