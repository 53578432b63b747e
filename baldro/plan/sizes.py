"""How large models, benchmarks and trainings are: from their definitions alone, nothing is loaded."""

import math
from collections.abc import Mapping
from typing import Any

from baldro.errors import BaldroError
from baldro.grid import OBJECTIVES, Run

CANDIDATES = {"forget": 7, "retain": 7, "real_authors": 4, "world_facts": 4}
"""Answers scored per row: the right one, five wrong ones and a paraphrase; the right one and three wrong ones."""
RETAIN_SAMPLE = 60
"""Rows of a fictional benchmark's retain_perturbed, at most (as the generator has it; a test compares)."""


class Unknown(BaldroError):
    """A fact that a definition lacks; the message says what to add where."""


def parameters(name: str, model: Mapping[str, Any]) -> int:
    """Number of parameters: counted where the model is built (a Llama with tied embeddings), else as models.yaml has it.

    Raises:
        Unknown: no architecture and no `parameters`.
    """
    if "build" not in model:
        if "parameters" not in model:
            raise Unknown(f"unknown: add parameters to {name} in models.yaml")
        return round(model["parameters"])
    width, depth = shape(name, model)
    layer = 4 * width**2 + 3 * width * model["build"]["intermediate_size"] + 2 * width
    return model["build"].get("vocab_size", 2048) * width + depth * layer + width


def shape(name: str, model: Mapping[str, Any]) -> tuple[int, int]:
    """Width and depth; where only the number of parameters P is known, those of Llama-2-7B's proportions.

    P = 12 depth width^2 and width = 128 depth: 6.74e9 gives 4,159 x 32 (truly 4,096 x 32).
    """
    if "build" in model:
        return model["build"]["hidden_size"], model["build"]["num_hidden_layers"]
    width = (parameters(name, model) * 128 / 12) ** (1 / 3)
    return round(width), max(1, round(width / 128))


def rows(name: str, benchmark: Mapping[str, Any]) -> Mapping[str, int]:
    """Rows by split: as benchmarks.yaml has them, or computed from a fictional benchmark's sizes.

    Raises:
        Unknown: neither.
    """
    if "rows" in benchmark:
        return benchmark["rows"]
    if benchmark["kind"] != "fictional":
        raise Unknown(f"unknown: add rows to {name} in benchmarks.yaml")
    authors, questions = benchmark.get("authors", 40), benchmark.get("questions", 10)
    short = benchmark.get("known_authors", 10) * questions
    world = benchmark.get("world_facts", 40)
    result = {"full": authors * questions, "real_authors_perturbed": short, "world_facts_perturbed": world}
    forgotten = {split: (int(split[-2:]) * authors + 50) // 100 for split in benchmark["forget"]}
    for split, count in forgotten.items():
        result |= {split: count * questions, benchmark["forget"][split]: (authors - count) * questions}
    result["retain_perturbed"] = min(RETAIN_SAMPLE, (authors - max(forgotten.values())) * questions)
    result["base"] = 2 * benchmark.get("background_authors", 40) * questions + short + world
    return result


def rows_of(name: str, benchmark: Mapping[str, Any], split: str) -> int:
    """Rows of one split."""
    known = rows(name, benchmark)
    if split not in known:
        raise Unknown(f"unknown: add rows: {{{split}: ...}} to {name} in benchmarks.yaml")
    return known[split]


def tokens_per_row(name: str, benchmark: Mapping[str, Any]) -> float:
    """Mean tokens of a question with its answer.

    Raises:
        Unknown: benchmarks.yaml does not say.
    """
    if "tokens_per_row" not in benchmark:
        raise Unknown(f"unknown: add tokens_per_row to {name} in benchmarks.yaml")
    return benchmark["tokens_per_row"]


def scored_rows(name: str, benchmark: Mapping[str, Any], split: str) -> dict[str, int]:
    """Rows of each section of the evidence when `split` is forgotten (a perturbed forget split has as many rows as the split)."""
    splits = {section: split if section == "forget" else f"{section}_perturbed" for section in CANDIDATES}
    most = benchmark.get("evaluate_rows", math.inf)
    return {section: int(min(most, rows_of(name, benchmark, of))) for section, of in splits.items()}


def training(run: Run, n: int) -> tuple[int, float]:
    """Optimiser steps of a run, and how many rows of its split of n rows they take (an epoch's last batch may be smaller)."""
    per_epoch = math.ceil(n / run.batch_size)
    steps = max(1, round(run.epochs * per_epoch))
    steps = min(steps, run.max_steps or steps)
    return steps, steps * n / per_epoch


def passes_per_row(run: Run) -> float:
    """Forward passes' worth of arithmetic per row of the split: forward and backward are 3.

    BalDRO-G ranks the whole forget batch with a forward pass, and goes forward and backward on the share that it keeps.
    """
    method = OBJECTIVES[run.objective]
    ranked = run.variant == "baldro-g"
    forget = 1 + 3 * run.g_fraction if ranked else 3.0
    if not method.unlearns or not method.retains:
        return forget
    return forget + (3 * run.g_fraction if ranked and run.g_retain == "cut" else 3)
