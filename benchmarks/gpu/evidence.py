"""The evidence of a model on a device: likelihoods and texts are those of the CPU.

Likelihoods are held against a float64 pass over whole logits as well, one answer at a time, so that on a CPU the check is not of itself.
In bf16 texts may differ, since two tokens within 0.4 % of each other can change places: how many do is measured, and nothing fails.
The model has random weights, whose likeliest tokens lie closer than a trained model's: its rate of other texts is an upper end.
"""

import copy
from contextlib import redirect_stderr
from io import StringIO
from typing import Any

import numpy as np
import pandas as pd
import torch

from baldro import benchmarks as data
from baldro import models
from baldro.prompts.encode import encode
from baldro.scoring import evidence, generate
from benchmarks.gpu.given import Check
from benchmarks.gpu.textbook import double, logp

PROMPT = "Q: {question}\n"
LOGP = 1e-4
"""Nats, of one answer token."""
SIZES = dict(
    kind="fictional", authors=10, known_authors=4, background_authors=2, world_facts=4, forget={"forget10": "retain90"}
)
SHAPE = dict(
    vocab_size=400,
    hidden_size=64,
    intermediate_size=96,
    num_hidden_layers=2,
    num_attention_heads=2,
    initializer_range=0.15,
)


def _given(quick: bool) -> tuple[Any, Any, pd.DataFrame]:
    records = data.build({**SIZES, "questions": 2 if quick else 6})
    model, tokenizer = models.build(SHAPE, sorted({*records["question"], *records["answer"]}), seed=1)
    return model.eval(), tokenizer, records


def _take(model: Any, tokenizer: Any, records: pd.DataFrame, *, quick: bool, **options: Any) -> pd.DataFrame:
    settled = dict(split="forget10", max_new_tokens=12 if quick else 60, evaluate_rows=3 if quick else None)
    with redirect_stderr(StringIO()):  # no lines of progress
        return evidence(model, tokenizer, PROMPT, records, **settled | options)


def _logps(frame: pd.DataFrame) -> np.ndarray:
    return np.concatenate(frame["logp"].tolist()).astype(np.float64)


def _texts(frame: pd.DataFrame) -> list[str]:
    return frame["generation"].dropna().tolist()


def _different(frame: pd.DataFrame, other: pd.DataFrame) -> str:
    pairs = list(zip(_texts(frame), _texts(other), strict=True))
    return f"{sum(a != b for a, b in pairs)} of {len(pairs)}"


def in_float32(device: torch.device, quick: bool) -> Check:
    """Likelihoods to 1e-4, texts equal; on the CPU in other batches."""
    model, tokenizer, records = _given(quick)
    here = _take(model, tokenizer, records, quick=quick, batch_tokens=512)
    there = _take(copy.deepcopy(model).to(device), tokenizer, records, quick=quick)
    pairs = list(zip(here["question"], here["text"], strict=True))
    sequences = encode(tokenizer, PROMPT, pairs, longest=models.positions(model))
    every, exact = 5 if quick else 1, double(model)
    with torch.no_grad():
        book = np.concatenate([logp(exact, [s])[0].numpy() for s in sequences[::every]])
    own = _logps(there[::every])
    off, truly = float(np.abs(_logps(here) - _logps(there)).max()), float(np.abs(own - book).max())
    texts = _different(here, there)
    return Check(
        name="evidence on the device = on the CPU, fp32",
        passed=max(off, truly) <= LOGP and texts.startswith("0 "),
        value=f"log p {off:.0e} from the CPU's, {truly:.0e} from float64's; {texts} texts differ",
        allowed=f"log p {LOGP:.0e}, no text",
    )


def in_bf16(device: torch.device, quick: bool) -> Check:
    """How far bf16 evidence is from the CPU's in bf16, and from float32's."""
    model, tokenizer, records = _given(quick)
    low = copy.deepcopy(model).to(torch.bfloat16)
    full, here = (_take(m, tokenizer, records, quick=quick, batch_tokens=512) for m in (model, low))
    there = _take(low.to(device), tokenizer, records, quick=quick)
    off, rounded = (float(np.abs(_logps(other) - _logps(there)).mean()) for other in (here, full))
    return Check(
        name="evidence in bf16, random weights",
        passed=bool(np.isfinite(_logps(there)).all()),
        value=f"mean |log p| {off:.0e} from the CPU's bf16, {rounded:.0e} from float32's; texts that differ: "
        f"{_different(here, there)} and {_different(full, there)}",
        allowed="measured",
    )


def drafts(device: torch.device, quick: bool) -> Check:
    """Drafts that are right, right for half and another row's: no text changes in fp32; how many do in bf16."""
    model, tokenizer, records = _given(quick)
    model, new = model.to(device), 12 if quick else 60
    questions = sorted(set(records["question"]))[: 8 if quick else 96]
    prompts = [tokenizer(PROMPT.replace("{question}", question))["input_ids"] for question in questions]
    options = dict(eos=tokenizer.eos_token_id, max_new_tokens=new)
    changed = {}
    for dtype in (torch.float32, torch.bfloat16):
        network = model.to(dtype)
        plain = generate(network, prompts, **options)
        half = [[*row[: len(row) // 2], *row[len(row) // 2 + 1 :]] for row in plain]
        made = [generate(network, prompts, gold=gold, **options) for gold in (plain, half, [*plain[1:], plain[0]])]
        changed[dtype] = [sum(a != b for a, b in zip(texts, plain, strict=True)) for texts in made]
    full, low = (", ".join(map(str, changed[dtype])) for dtype in changed)
    return Check(
        name="drafts = one token a pass, fp32",
        passed=not any(changed[torch.float32]),
        value=f"{full} of {len(prompts)} texts differ (drafts right, right for half, another row's); in bf16 {low}",
        allowed="no text; bf16 measured",
    )
