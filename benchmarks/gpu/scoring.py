"""Likelihoods and greedy continuations, ours beside the textbook's, and beside what the plan says.

The textbook: every candidate answer by itself, in batches as they come, the logits of every position in float32; transformers' `generate`,
which runs a batch until its last row has finished.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from baldro.plan.gpus import GPU
from baldro.prompts.encode import Tokens
from baldro.scoring.decoder import Decoder
from baldro.scoring.drafts import Row
from baldro.scoring.likelihood import likelihoods
from benchmarks.gpu.planned import Planned
from benchmarks.gpu.work import Shape, candidates, gigabytes, sequences, timed

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
    limit: int,
) -> Iterator[dict[str, Any]]:
    """A row for likelihoods, a row for generation, and rows for drafts beside one token a pass.

    Args:
        count: questions of each of the four sections.
        limit: new tokens at most.
    """
    model.eval()
    dtype = next(model.parameters()).dtype
    plan_likelihood, plan_generation = planned.scoring(gpu)
    some, asked = [], []
    for seed, each in enumerate(ANSWERS):
        more, own = candidates(count, each, shape.vocab_size, seed=seed)
        some, asked = [*some, *more], [*asked, *((seed, q) for q in own)]
    mine: list[float] = [0.0] * len(some)

    def ours() -> None:
        for batch, found in likelihoods(model, some, asked, batch_tokens=BATCH_TOKENS):
            for i, row in zip(batch, found, strict=True):
                mine[i] = row["avg_loss"]

    one = timed(ours, device, repetitions=2)
    theirs: list[float] = []
    other = _tried(
        lambda: timed(lambda: theirs.__setitem__(slice(None), _whole_logits(model, some)), device, repetitions=1)
    )
    gap = float(np.abs(np.subtract(mine, theirs)).max()) if other else None
    tokens = sum(len(s.ids) for s in some)
    wrong = gap is not None and not gap <= DIFFERENCE[dtype]
    yield _row(
        shape, f"likelihoods of {len(some)} answers", dtype, one, other, tokens / one.seconds, plan_likelihood,
        share=2 * shape.parameters * tokens / one.seconds / peak,
        note=("" if gap is None else f"largest difference {gap:.1e} nats") + (", MORE THAN ALLOWED" if wrong else ""),
        failed=wrong,
    )  # fmt: skip
    yield from _generation(model, shape, dtype, plan_generation, device, count=count * len(ANSWERS), limit=limit)


def _generation(
    model: nn.Module, shape: Shape, dtype: torch.dtype, plan: float, device: torch.device, *, count: int, limit: int
) -> Iterator[dict[str, Any]]:
    prompts = [s.ids[: s.start] for s in sequences(count, shape.vocab_size, seed=9)]

    def ours(eos: int, gold: list[list[int]] | None = None) -> tuple[list[list[int]], float]:
        """Continuations, by drafts of these if there are any, and passes per answer."""
        decoder = Decoder(model, eos=eos, max_new_tokens=limit, drafts=gold is not None)
        made = [Row(prompt, answer) for prompt, answer in zip(prompts, gold or [()] * count, strict=True)]
        for _ in decoder(made, batch_tokens=BATCH_TOKENS):
            pass
        return [row.said for row in made], decoder.passes_per_answer

    eos = _common(ours(-1)[0], limit)
    (mine, usual), theirs = ours(eos), list[list[int]]()
    one = timed(lambda: ours(eos), device, repetitions=1)
    other = _tried(
        lambda: timed(
            lambda: theirs.__setitem__(slice(None), _generate(model, prompts, eos, limit)), device, repetitions=1
        )
    )
    lengths = sorted(map(len, mine))
    note = f"{lengths[0]} to {lengths[-1]} tokens, median {lengths[len(lengths) // 2]}"
    different = sum(a != b for a, b in zip(mine, theirs, strict=True)) if other else None
    wrong = bool(different) and dtype == torch.float32
    if different is not None:
        note += f"; {different} of {len(mine)} texts differ" + (" IN FLOAT32" if wrong else "")
    yield _row(
        shape, f"continuations of {count} prompts", dtype, one, other, sum(lengths) / one.seconds, plan, share=None,
        note=note, failed=wrong,
    )  # fmt: skip
    half = [[*row[: len(row) // 2], *row[len(row) // 2 + 1 :]] for row in mine]  # a token in the middle is left out
    for name, gold in {"right": mine, "right for half": half, "of other rows": [*mine[1:], mine[0]]}.items():
        made, passes = ours(eos, gold)
        two = timed(lambda gold=gold: ours(eos, gold), device, repetitions=1)
        different = sum(a != b for a, b in zip(made, mine, strict=True))
        wrong = bool(different) and dtype == torch.float32
        yield _row(
            shape, f"drafts {name}, textbook: one token a pass", dtype, two, one, sum(map(len, made)) / two.seconds, plan, share=None,
            note=f"{passes:.1f} passes an answer ({usual:.1f}); {different} of {count} texts differ" + (" IN FLOAT32" if wrong else ""),
            failed=wrong,
        )  # fmt: skip


def _common(made: list[list[int]], limit: int) -> int:
    """A token whose first place in the continuations has the median nearest to TOFU's mean answer, as the end of a text."""
    firsts: dict[int, list[int]] = {}
    for row in made:
        for token in set(row):
            firsts.setdefault(token, []).append(row.index(token))
    usual = min(36, limit // 2)

    def distance(token: int) -> float:
        places = firsts[token] + [limit] * (len(made) - len(firsts[token]))
        return abs(float(np.median(places)) - usual)

    return min(firsts, key=distance)


def _tried(function: Callable[[], Any]) -> Any:
    """None where the textbook's way runs out of memory."""
    try:
        return function()
    except torch.OutOfMemoryError:
        return None


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


@torch.inference_mode()
def _generate(model: nn.Module, prompts: list[tuple[int, ...]], eos: int, limit: int) -> list[list[int]]:
    device, made = next(model.parameters()).device, []
    for at in range(0, len(prompts), 2 * TEXTBOOK_BATCH):
        some = prompts[at : at + 2 * TEXTBOOK_BATCH]
        longest = max(map(len, some))
        ids = torch.tensor([[0] * (longest - len(p)) + list(p) for p in some], device=device)
        mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in some], device=device)
        out = model.generate(
            ids, attention_mask=mask, do_sample=False, max_new_tokens=limit, eos_token_id=eos, pad_token_id=eos
        )
        made += [row[: row.index(eos)] if eos in row else row for row in out[:, longest:].tolist()]
    return made


def _row(
    shape: Shape, what: str, dtype: torch.dtype, one: Any, other: Any, rate: float, plan: float, *, share: float | None,
    note: str, failed: bool,
) -> dict[str, Any]:  # fmt: skip
    return {
        "model": shape.name,
        "scoring": what,
        "type": str(dtype).removeprefix("torch."),
        "s": one.seconds,
        "tokens/s": rate,
        "share of peak": share,
        "peak GB": gigabytes(one.peak_bytes),
        "plan s": plan,
        "textbook": other and f"{other.seconds / one.seconds:.2f}x",
        "textbook GB": other and gigabytes(other.peak_bytes),
        "note": note if other else f"{note}; textbook out of memory",
        "failed": failed,
    }
