"""Per answer token: its log-probability, the model's own choice and whether it is that, mean and deviation of the log-probabilities.

Shape legend: B sequences, L positions, N answer tokens of all sequences, V vocabulary, H width.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from transformers import DynamicCache

from baldro.errors import BaldroError, fits
from baldro.models import any_shape, full_float32, heads, hidden_and_targets, token_logp
from baldro.models.forward import HEAD_ELEMENTS, body
from baldro.prompts.batches import by_length, collate
from baldro.prompts.encode import Tokens
from baldro.prompts.limits import SEQUENCES
from baldro.scoring import cache as caches
from baldro.scoring import several

CPU_ELEMENTS = 2**21
"""Logits of which statistics are taken at a time on a CPU: they should stay in its cache. A GPU loses more by small pieces."""
CPU_HEAD = 2**24
"""Logits that a product of the head makes at a time there: of few rows it takes twice the time a row (40 and 340 of 49,152 words)."""
NO_STATISTICS: dict[str, Any] = dict(
    tokens=0,
    avg_loss=float("nan"),
    **{name: torch.empty(0, dtype=dtype).numpy() for name, dtype in
       dict(logp=torch.float32, hit=torch.bool, choice=torch.int64, mu=torch.float32, sigma=torch.float32).items()},
)  # fmt: skip
"""The columns of a row on which no likelihood is taken."""


def likelihoods(
    model: nn.Module, sequences: Sequence[Tokens], questions: Sequence[Any], *, batch_tokens: int
) -> Iterator[tuple[list[int], list[dict[str, Any]]]]:
    """Yields for each batch the indices of its sequences and their statistics; the prompt of a question's answers is computed once.

    Args:
        questions: a key for each sequence; sequences with equal keys answer one question.
        batch_tokens: padded tokens whose keys and values are in memory, at most (one sequence may exceed it).
    """
    together: dict[Any, list[int]] = {}
    for i, question in enumerate(questions):
        together.setdefault(question, []).append(i)
    shared = {question: common_prefix([sequences[i] for i in rows]) for question, rows in together.items()}
    alone = [i for question, rows in together.items() if not shared[question] for i in rows]
    for batch in by_length([sequences[i] for i in alone], tokens=batch_tokens, at_most=SEQUENCES):
        rows = [alone[i] for i in batch]
        yield rows, token_statistics(model, [sequences[i] for i in rows])
    groups = [(shared[question], rows) for question, rows in together.items() if shared[question]]
    for some in _group_batches(groups, sequences, batch_tokens):
        yield from _from_prefixes(model, sequences, some, batch_tokens)


def common_prefix(sequences: Sequence[Tokens]) -> int:
    """Number of tokens with which all sequences begin, before the last prompt token of each; 0 for a single sequence.

    The last prompt token is each sequence's own, since it predicts the first answer token.
    """
    if len(sequences) < 2:
        return 0
    most = min(s.start for s in sequences) - 1
    columns = zip(*(s.ids[:most] for s in sequences), strict=True)
    return next((t for t, column in enumerate(columns) if len(set(column)) > 1), most)


@torch.inference_mode()
def token_statistics(model: nn.Module, sequences: Sequence[Tokens]) -> list[dict[str, Any]]:
    """Per sequence: tokens, avg_loss, and per answer token logp, hit (it is the argmax), choice (the argmax), mu, sigma (of log p)."""
    hidden_NH, target_N, _ = hidden_and_targets(model, collate(sequences, next(model.parameters()).device))
    return _statistics(model, hidden_NH, target_N, [s.answer for s in sequences])


@fits("a smaller batch_tokens, or a GPU with more memory (`baldro plan` estimates it)")
@any_shape()
@torch.inference_mode()
def reference(model: nn.Module, sequences: Sequence[Tokens], *, batch_tokens: int = 16384) -> pd.DataFrame:
    """log r(y_t | before) of each answer: what NPO compares with.

    In a process group every process calls this with the same sequences, takes its share, and gets all rows.

    Returns: a row an answer, in order; columns index, sequence (`Tokens.hash`), tokens, logp (their sum, nats, float64), token_logp (a
        float32 an answer token).

    Raises:
        BaldroError: a probability that is NaN or 0.
    """
    full_float32()
    model.eval()
    device = next(model.parameters()).device
    own, made = several.share([len(s.ids) for s in sequences]), dict[int, dict[str, Any]]()
    with several.in_step(model):
        for batch in by_length([sequences[i] for i in own], tokens=batch_tokens, at_most=SEQUENCES):
            some = [own[i] for i in batch]
            logp_BT, _ = token_logp(model, collate([sequences[i] for i in some], device))
            for i, logp_T in zip(some, logp_BT.cpu(), strict=True):
                own_T = logp_T[: sequences[i].answer]  # padding is on the right
                made[i] = {
                    "index": i,
                    "sequence": sequences[i].hash,
                    "tokens": len(own_T),
                    "logp": float(own_T.double().sum()),
                    "token_logp": own_T.numpy(),
                }
    made = several.of_all(made)
    frame = pd.DataFrame([made[i] for i in range(len(sequences))])
    check_finite(frame["logp"], "the model")
    return frame


def check_finite(logp: Iterable[float], source: str) -> None:
    """Check log-probabilities that a model (`source` in the message) gave.

    Raises:
        BaldroError: one is NaN or infinite.
    """
    if not all(map(math.isfinite, logp)):
        raise BaldroError(
            "not-finite", f"{source} gives a probability that is NaN or 0; allowed: a model with finite weights"
        )


Groups = list[tuple[int, list[int]]]  # length of the common prefix, and the sequences that begin with it


def _group_batches(groups: Groups, sequences: Sequence[Tokens], batch_tokens: int) -> list[Groups]:
    """Groups of similar prefixes, so many that their keys and values fill at most half of what may be in memory."""
    prefixes = [Tokens(ids=sequences[rows[0]].ids[:length], start=0) for length, rows in groups]
    return [[groups[g] for g in batch] for batch in by_length(prefixes, tokens=batch_tokens // 2, at_most=SEQUENCES)]


@torch.inference_mode()
def _from_prefixes(
    model: nn.Module, sequences: Sequence[Tokens], groups: Groups, batch_tokens: int
) -> Iterator[tuple[list[int], list[dict[str, Any]]]]:
    device = next(model.parameters()).device
    prefixes = [sequences[rows[0]].ids[:length] for length, rows in groups]
    ids_BL, mask_BL, position_BL = caches.left_padded(prefixes, device)
    cache = caches.empty(model)
    inputs = dict(input_ids=ids_BL, attention_mask=mask_BL, position_ids=position_BL)
    body(model, **inputs, past_key_values=cache, use_cache=True)
    width = ids_BL.shape[1]
    member = [(g, i) for g, (_, rows) in enumerate(groups) for i in rows]
    room = batch_tokens - len(groups) * width
    held = [Tokens(ids=(0,) * (width + len(sequences[i].ids) - 1 - groups[g][0]), start=1) for g, i in member]
    for batch in by_length(held, tokens=room, at_most=SEQUENCES):
        rows = [member[m] for m in batch]
        first = [groups[g][0] for g, _ in rows]
        some = [sequences[i] for _, i in rows]
        hidden_NH, target_N = _continue(
            model, caches.select(cache, [g for g, _ in rows]), mask_BL[[g for g, _ in rows]], some, first
        )
        yield [i for _, i in rows], _statistics(model, hidden_NH, target_N, [s.answer for s in some])


def _continue(
    model: nn.Module, cache: DynamicCache, mask_BP: Tensor, sequences: Sequence[Tokens], first: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Hidden states that predict the answer tokens (N, H) and their ids (N,); `cache` holds the `first` tokens of each sequence.

    The last token predicts nothing and is left out. Right padding needs no mask: attention is causal.
    """
    rest = [Tokens(ids=s.ids[f:-1], start=s.start - f - 1) for s, f in zip(sequences, first, strict=True)]
    batch = collate(rest, mask_BP.device)  # its "answer" is what predicts one
    own_B = torch.tensor([len(r.ids) for r in rest], device=mask_BP.device)
    step_L = torch.arange(batch.ids_BL.shape[1], device=mask_BP.device)
    hidden_BLH = body(
        model,
        input_ids=batch.ids_BL,
        attention_mask=torch.cat([mask_BP, torch.ones_like(batch.ids_BL)], 1),
        position_ids=mask_BP.sum(1, keepdim=True) + torch.minimum(step_L, own_B[:, None] - 1),
        past_key_values=cache,
        use_cache=True,
    )
    target_N = torch.tensor([token for s in sequences for token in s.ids[s.start :]], device=mask_BP.device)
    return hidden_BLH[batch.answer_BL], target_N


def _statistics(model: nn.Module, hidden_NH: Tensor, target_N: Tensor, counts: Sequence[int]) -> list[dict[str, Any]]:
    head = heads.head(model)
    made, taken = (HEAD_ELEMENTS, HEAD_ELEMENTS) if hidden_NH.is_cuda else (CPU_HEAD, CPU_ELEMENTS)
    rows, few = max(1, made // head.out_features), max(1, taken // head.out_features)
    logits = (logits_NV for some_NH in hidden_NH.split(rows) for logits_NV in head(some_NH).split(few))
    targets = (t for some_N in target_N.split(rows) for t in some_N.split(few))
    parts = [_of_logits(logits_NV, t) for logits_NV, t in zip(logits, targets, strict=True)]
    logp, choice, mu, sigma = (torch.cat(column).cpu().split(list(counts)) for column in zip(*parts, strict=True))
    own = target_N.cpu().split(list(counts))
    return [
        dict(
            tokens=len(logp[i]),
            avg_loss=-float(logp[i].double().mean()),
            logp=logp[i].numpy(),
            hit=(choice[i] == own[i]).numpy(),
            choice=choice[i].numpy(),
            mu=mu[i].numpy(),
            sigma=sigma[i].numpy(),
        )
        for i in range(len(counts))
    ]


def _of_logits(logits_NV: Tensor, target_N: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    logp_NV = torch.log_softmax(logits_NV.float(), -1)
    p_NV = logp_NV.exp()
    mu_N = torch.linalg.vecdot(p_NV, logp_NV)
    square_N = torch.linalg.vecdot(p_NV, (logp_NV - mu_N[:, None]).square_())  # E[x^2] - E[x]^2 would cancel
    return logp_NV.gather(-1, target_N[:, None])[:, 0], logits_NV.argmax(-1), mu_N, square_N.sqrt()
