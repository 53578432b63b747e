"""Model -> evidence: per sample, per candidate answer, per token. The only evaluation step that needs the model; metrics need none.

Shape legend: B samples, L positions, T answer tokens of the longest answer, N answer tokens of all samples, V vocabulary.
"""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from transformers import DynamicCache

from baldro.data.batches import by_length, collate
from baldro.data.encode import Tokens, encode
from baldro.data.records import split as records_of
from baldro.errors import BaldroError
from baldro.models import HEAD_ELEMENTS, hidden_and_targets, positions, token_logp
from baldro.progress import Progress

SECTIONS = {
    "forget": "{split}_perturbed",
    "retain": "retain_perturbed",
    "real_authors": "real_authors_perturbed",
    "world_facts": "world_facts_perturbed",
}
"""Section of the evidence -> split that it is taken on."""
SEQUENCES = 256
"""Sequences per batch, at most."""


@torch.inference_mode()
def evidence(
    model: nn.Module,
    tokenizer: Any,
    prompt: str,
    records: pd.DataFrame,
    *,
    split: str,
    max_new_tokens: int,
    evaluate_rows: int | None = None,
    batch_tokens: int = 16384,
    label: str = "score",
) -> pd.DataFrame:
    """One row per section, index and candidate answer; a greedy continuation of the prompt beside each gold answer.

    Args:
        records: the benchmark's table.
        split: the forget split.
        max_new_tokens: longest continuation.
        evaluate_rows: only the first so many rows of each section.
        batch_tokens: padded tokens in a forward pass.

    Returns: the columns section, index, candidate, question, text, tokens, avg_loss, logp, hit, mu, sigma, generation.
    """
    model.eval()
    frame = candidates(records, split, evaluate_rows)
    sequences = encode(
        tokenizer, prompt, list(zip(frame["question"], frame["text"], strict=True)), longest=positions(model)
    )
    gold = [i for i, candidate in enumerate(frame["candidate"]) if candidate == "answer"]
    prompts = [sequences[i].ids[: sequences[i].start] for i in gold]
    room = positions(model) - max(map(len, prompts))
    if room < max_new_tokens:
        raise BaldroError(
            f"{label}: max_new_tokens is {max_new_tokens}; allowed: at most {room}, by the model's positions"
        )
    batches = by_length(sequences, tokens=batch_tokens, at_most=SEQUENCES)
    groups = _prompt_batches(prompts, max_new_tokens, batch_tokens)
    progress = Progress(label, len(batches) + len(groups), unit="batch")
    rows: list[dict[str, Any]] = [{} for _ in sequences]
    for batch in batches:
        statistics = token_statistics(model, [sequences[i] for i in batch])
        for i, row in zip(batch, statistics, strict=True):
            rows[i] = row
        progress.advance(tokens=sum(len(sequences[i].ids) for i in batch))
    texts: list[str | None] = [None] * len(frame)
    for group in groups:
        made = generate(model, [prompts[g] for g in group], eos=tokenizer.eos_token_id, max_new_tokens=max_new_tokens)
        for g, ids in zip(group, made, strict=True):
            texts[gold[g]] = tokenizer.decode(ids, skip_special_tokens=True).strip()
        progress.advance(tokens=sum(map(len, made)))
    result = pd.concat([frame, pd.DataFrame(rows)], axis=1).assign(generation=texts)
    if not result["avg_loss"].map(lambda x: x == x and abs(x) != float("inf")).all():
        raise BaldroError(
            f"{label}: the model gives a probability that is no number; allowed: a model with finite weights"
        )
    return result


@torch.inference_mode()
def reference(model: nn.Module, sequences: Sequence[Tokens], *, batch_tokens: int = 16384) -> pd.DataFrame:
    """log r(y) of each answer, summed over its tokens: what NPO compares with. Columns: index, tokens, logp (nats, float64)."""
    model.eval()
    device = next(model.parameters()).device
    rows: list[dict[str, Any]] = [{} for _ in sequences]
    for batch in by_length(sequences, tokens=batch_tokens, at_most=SEQUENCES):
        logp_BT, _ = token_logp(model, collate([sequences[i] for i in batch], device))
        for i, logp in zip(batch, logp_BT.double().sum(1).tolist(), strict=True):
            rows[i] = {"index": i, "tokens": sequences[i].answer, "logp": logp}
    frame = pd.DataFrame(rows)
    if not frame["logp"].abs().lt(float("inf")).all():
        raise BaldroError("the model gives a probability that is no number; allowed: a model with finite weights")
    return frame


def candidates(records: pd.DataFrame, split: str, evaluate_rows: int | None) -> pd.DataFrame:
    """What is scored: each section's questions with the answer, its paraphrase where there is one, and the wrong answers."""
    rows = []
    for section, pattern in SECTIONS.items():
        for record in records_of(records, pattern.format(split=split)).head(evaluate_rows or len(records)).itertuples():
            texts = {"answer": record.answer}
            if isinstance(record.paraphrased_answer, str):
                texts["paraphrase"] = record.paraphrased_answer
            texts |= {f"wrong_{j}": text for j, text in enumerate(record.perturbed_answer)}
            rows += [
                dict(section=section, index=record.index, candidate=c, question=record.question, text=t)
                for c, t in texts.items()
            ]
    return pd.DataFrame(rows)


def token_statistics(model: nn.Module, sequences: Sequence[Tokens]) -> list[dict[str, Any]]:
    """Per sequence: tokens, avg_loss, and per answer token logp, hit (it is the argmax), mu, sigma (mean, deviation of log p)."""
    batch = collate(sequences, next(model.parameters()).device)
    hidden_NH, target_N, _ = hidden_and_targets(model, batch)
    head = model.get_output_embeddings()
    rows = max(1, HEAD_ELEMENTS // head.weight.shape[0])
    parts = [_statistics(head(h), t) for h, t in zip(hidden_NH.split(rows), target_N.split(rows), strict=True)]
    per_token = [torch.cat(column).cpu() for column in zip(*parts, strict=True)]
    result, at = [], 0
    for sequence in sequences:
        logp, hit, mu, sigma = (column[at : at + sequence.answer].numpy() for column in per_token)
        result.append(
            dict(
                tokens=sequence.answer,
                avg_loss=-float(logp.astype("float64").mean()),
                logp=logp,
                hit=hit,
                mu=mu,
                sigma=sigma,
            )
        )
        at += sequence.answer
    return result


def _statistics(logits_NV: Tensor, target_N: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    logp_NV = torch.log_softmax(logits_NV.float(), -1)
    p_NV = logp_NV.exp()
    mu_N = (p_NV * logp_NV).sum(-1)
    square_N = (p_NV * logp_NV.square()).sum(-1)
    logp_N = logp_NV.gather(-1, target_N[:, None])[:, 0]
    return logp_N, logits_NV.argmax(-1) == target_N, mu_N, (square_N - mu_N.square()).clamp_min(0).sqrt()


@torch.inference_mode()
def generate(model: nn.Module, prompts: Sequence[Sequence[int]], *, eos: int, max_new_tokens: int) -> list[list[int]]:
    """Greedy continuations, without the end of sequence. A finished row leaves the batch, so one that never stops costs only itself."""
    device = next(model.parameters()).device
    longest = max(map(len, prompts))
    ids_BL = torch.zeros(len(prompts), longest, dtype=torch.long, device=device)
    mask_BL = torch.zeros_like(ids_BL)
    for b, prompt in enumerate(prompts):
        ids_BL[b, longest - len(prompt) :] = torch.tensor(prompt, device=device)
        mask_BL[b, longest - len(prompt) :] = 1
    position_B = mask_BL.sum(1)
    cache = DynamicCache(config=model.config)
    position_BL = (mask_BL.cumsum(1) - 1).clamp_min(0)
    made: list[list[int]] = [[] for _ in prompts]
    alive = list(range(len(prompts)))
    for _ in range(max_new_tokens):
        body = model.base_model(
            input_ids=ids_BL, attention_mask=mask_BL, position_ids=position_BL, past_key_values=cache, use_cache=True
        )
        next_B = model.get_output_embeddings()(body.last_hidden_state[:, -1]).argmax(-1)
        tokens = next_B.tolist()
        keep = [b for b, token in enumerate(tokens) if token != eos]
        for b in keep:
            made[alive[b]].append(tokens[b])
        if not keep:
            break
        if len(keep) < len(alive):
            kept = torch.tensor(keep, device=device)
            cache.batch_select_indices(kept)
            next_B, mask_BL, position_B, alive = next_B[kept], mask_BL[kept], position_B[kept], [alive[b] for b in keep]
        ids_BL, position_BL = next_B[:, None], position_B[:, None]
        mask_BL = torch.cat([mask_BL, mask_BL.new_ones(len(keep), 1)], 1)
        position_B = position_B + 1
    return made


def _prompt_batches(prompts: Sequence[Sequence[int]], max_new_tokens: int, batch_tokens: int) -> list[list[int]]:
    as_tokens = [Tokens(ids=(*prompt, *[0] * max_new_tokens), start=len(prompt)) for prompt in prompts]
    return by_length(as_tokens, tokens=batch_tokens, at_most=SEQUENCES)
