"""Greedy continuations, ours beside transformers' `generate` and `generate_batch`, and beside what the plan says.

The textbook, `generate`, runs a batch until its last row has finished. `generate_batch` is continuous batching: a finished text's place is
taken, and keys and values lie in pages.
"""

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from torch import nn

from baldro.models import any_shape, norms
from baldro.plan.gpus import GPU
from baldro.scoring.decoder import Decoder
from baldro.scoring.drafts import Row
from benchmarks.gpu.planned import Planned
from benchmarks.gpu.scoring import BATCH_TOKENS, TEXTBOOK_BATCH, row, tried
from benchmarks.gpu.work import Shape, Timed, free, sequences, timed

PAGE = 256
"""Tokens of a page of the cache, transformers' own number."""
PASS = 8192
"""Tokens of a pass at most, its own number too."""
MEMORY = 0.5
"""Share of the free memory that the cache and its buffers may take at most; left to itself it takes nine tenths, whatever is asked."""


def rows(
    model: nn.Module,
    shape: Shape,
    planned: Planned,
    gpu: GPU,
    device: torch.device,
    *,
    count: int,
    limit: int,
    third: bool,
) -> Iterator[dict[str, Any]]:
    """A row for one token a pass, rows for drafts beside it, and one for `generate_batch`.

    Args:
        count: prompts.
        limit: new tokens at most.
        third: whether `generate_batch` has its row.
    """
    model.eval()
    dtype, (_, plan) = next(model.parameters()).dtype, planned.scoring(gpu)
    prompts = [s.ids[: s.start] for s in sequences(count, shape.vocab_size, seed=9)]

    @any_shape()
    def ours(eos: int, gold: list[list[int]] | None = None) -> tuple[list[list[int]], float]:
        """Continuations, by drafts of these if there are any, and passes per answer."""
        decoder = Decoder(model, eos=eos, max_new_tokens=limit, drafts=gold is not None)
        made = [Row(prompt, answer) for prompt, answer in zip(prompts, gold or [()] * count, strict=True)]
        for _ in decoder(made, batch_tokens=BATCH_TOKENS):
            pass
        return [row.said for row in made], decoder.passes_per_answer

    def measured(eos: int, gold: list[list[int]] | None = None) -> tuple[Timed, list[list[int]], float]:
        said: list[Any] = []
        taken = timed(lambda: said.append(ours(eos, gold)), device, repetitions=1)
        return taken, *said[-1]

    eos, theirs = _common(ours(-1)[0], limit), list[list[int]]()
    one, mine, usual = measured(eos)
    other = tried(
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
    yield row(
        shape, f"continuations of {count} prompts", dtype, one, other, sum(lengths) / one.seconds, plan, share=None,
        note=note, failed=wrong,
    )  # fmt: skip
    half = [[*row[: len(row) // 2], *row[len(row) // 2 + 1 :]] for row in mine]  # a token in the middle is left out
    for name, gold in {"right": mine, "right for half": half, "of other rows": [*mine[1:], mine[0]]}.items():
        two, made, passes = measured(eos, gold)
        different = sum(a != b for a, b in zip(made, mine, strict=True))
        wrong = bool(different) and dtype == torch.float32
        yield row(
            shape, f"drafts {name}, textbook: one token a pass", dtype, two, one, sum(map(len, made)) / two.seconds, plan, share=None,
            note=f"{passes:.1f} passes an answer ({usual:.1f}); {different} of {count} texts differ" + (" IN FLOAT32" if wrong else ""),
            failed=wrong,
        )  # fmt: skip
    if third:
        yield _continuous(model, shape, dtype, device, prompts, mine, one, plan, eos=eos, limit=limit)


def _continuous(
    model: nn.Module, shape: Shape, dtype: torch.dtype, device: torch.device, prompts: list[tuple[int, ...]],
    mine: list[list[int]], one: Timed, plan: float, *, eos: int, limit: int,
) -> dict[str, Any]:  # fmt: skip
    """transformers' `generate_batch` with ours as its textbook; whatever it fails of is said, and no failure of ours."""
    made, two = list[list[int]](), None
    free(device)  # it counts what torch holds in reserve as taken

    def theirs() -> None:
        made[:] = batched(model, prompts, eos=eos, limit=limit)

    try:
        two = timed(theirs, device, repetitions=1)
        different = sum(a != b for a, b in zip(made, mine, strict=True))
        note = f"{different} of {len(mine)} texts differ; its cache made anew each time"
    except Exception as error:
        note = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    what, rate = "generate_batch, textbook: one token a pass", two and sum(map(len, made)) / two.seconds
    return row(shape, what, dtype, two, one, rate, plan, share=None, note=note, failed=False)


def _common(made: list[list[int]], limit: int) -> int:
    """A token whose first place in the continuations has the median nearest to TOFU's mean answer, as the end of a text."""
    firsts: dict[int, list[int]] = {}
    for text in made:
        for token in set(text):
            firsts.setdefault(token, []).append(text.index(token))
    usual = min(36, limit // 2)

    def distance(token: int) -> float:
        places = firsts[token] + [limit] * (len(made) - len(firsts[token]))
        return abs(float(np.median(places)) - usual)

    return min(firsts, key=distance)


@norms.as_written()
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


class Lost(RuntimeError):
    """Some texts did not come back: it logs an error and returns the others."""


@norms.as_written()
def batched(model: nn.Module, prompts: Sequence[Sequence[int]], *, eos: int, limit: int) -> list[list[int]]:
    """New tokens of each prompt before the end of its text.

    Its cache has the pages that these prompts need, all at a time, and a pass their tokens. Attention stays torch's own, so that no kernel
    is sought on the hub, and the model is given back as it was.

    Args:
        eos: the token that ends a text.
        limit: new tokens at most.

    Raises:
        Lost: it failed on a prompt or returned nothing for it.
        ImportError: a transformers without it.
    """
    from transformers import ContinuousBatchingConfig, GenerationConfig

    pages = -(-(max(map(len, prompts)) + limit) // PAGE)
    room: dict[str, Any] = dict(page_size=PAGE, num_blocks=pages * len(prompts), max_memory_percent=MEMORY)
    room["max_batch_tokens"] = min(PASS, sum(map(len, prompts)))
    if "auto_switch_to_flash" in {field.name for field in fields(ContinuousBatchingConfig)}:  # not yet in 5.17
        room["auto_switch_to_flash"] = False
    made = model.generate_batch(
        [list(prompt) for prompt in prompts],  # without a config it takes the model's own, of which some sample
        generation_config=GenerationConfig(do_sample=False, eos_token_id=eos, pad_token_id=eos, max_new_tokens=limit),
        continuous_batching_config=ContinuousBatchingConfig(**room),
    )
    errors = [one.error for one in made.values() if one.error is not None]
    if errors or len(made) != len(prompts):
        reason = f": {str(errors[0]).partition(chr(10))[0]}" if errors else ""
        raise Lost(f"{len(prompts) - len(made) + len(errors)} of {len(prompts)} texts are lost{reason}")
    rows = [list(one.generated_tokens) for one in made.values()]
    return [row[: row.index(eos)] if eos in row else row for row in rows]
