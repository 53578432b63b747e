"""How large models and benchmarks are: from their definitions alone, nothing is loaded."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from baldro.benchmarks.splits import holdout
from baldro.errors import BaldroError


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A section of the evidence, as far as its cost goes (baldro.benchmarks.protocol has all of it; a test compares)."""

    split: str
    """{split} is the forget split, {holdout} what is held out for it."""
    candidates: int = 1
    """Answers scored per row: the right one, wrong ones, a paraphrase; 0 where the prompt is only continued."""
    generates: bool = True
    longest: int | None = None
    """New tokens at most, in place of the benchmark's."""
    membership: bool = False
    """Its gradient norms are taken, if the benchmark wants them."""
    optional: bool = False
    """Left out where the benchmark names no such split."""


SECTIONS = {
    "tofu": {
        "forget": Asked(split="{split}", candidates=7, membership=True),
        "retain": Asked(split="retain_perturbed", candidates=7),
        "real_authors": Asked(split="real_authors_perturbed", candidates=4),
        "world_facts": Asked(split="world_facts_perturbed", candidates=4),
        "holdout": Asked(split="{holdout}", generates=False, membership=True, optional=True),
    },
    "muse": {
        "forget_knowmem": Asked(split="forget_knowmem", candidates=0, longest=32),
        "retain_knowmem": Asked(split="retain_knowmem", candidates=0, longest=32),
        "verbmem": Asked(split="verbmem", longest=128),
        "forget": Asked(split="privleak_forget", generates=False, membership=True),
        "holdout": Asked(split="privleak_holdout", generates=False, membership=True),
    },
}
"""By kind of benchmark; a fictional one is asked as TOFU is."""
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


def adapters(name: str, model: Mapping[str, Any], rank: int) -> int:
    """Weights of LoRA adapters of a rank on every linear layer but the output head: rank x (inputs + outputs) each.

    A layer has four of width to width and three between width and the MLP's; where only the number of parameters is known, the MLP is
    8/3 as wide as the model (then 12 width^2 is a layer, as in `shape`). Grouped keys and values, not known either, would be fewer.
    """
    width, depth = shape(name, model)
    inner = model["build"]["intermediate_size"] if "build" in model else round(8 / 3 * width)
    return rank * depth * (4 * 2 * width + 3 * (width + inner))


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
        result[holdout(benchmark, split)] = count * questions
    result["retain_perturbed"] = min(RETAIN_SAMPLE, (authors - max(forgotten.values())) * questions)
    result["base"] = 2 * benchmark.get("background_authors", 40) * questions + short + world
    return result


def rows_of(name: str, benchmark: Mapping[str, Any], split: str) -> int:
    """Rows of one split."""
    known = rows(name, benchmark)
    if split not in known:
        raise Unknown(f"unknown: add rows: {{{split}: ...}} to {name} in benchmarks.yaml")
    return known[split]


def tokens_per_row(name: str, benchmark: Mapping[str, Any], split: str) -> float:
    """Mean tokens of a prompt with its answer in a split.

    Raises:
        Unknown: benchmarks.yaml does not say.
    """
    known = benchmark.get("tokens_per_row")
    if isinstance(known, Mapping):
        if split not in known:
            raise Unknown(f"unknown: add tokens_per_row: {{{split}: ...}} to {name} in benchmarks.yaml")
        return known[split]
    if known is None:
        raise Unknown(f"unknown: add tokens_per_row to {name} in benchmarks.yaml")
    return known


def scored(name: str, benchmark: Mapping[str, Any], split: str) -> dict[str, tuple[Asked, int, float]]:
    """Each section of the evidence when `split` is forgotten: what is asked, its rows, their mean tokens.

    A perturbed forget split has as many rows as the split.
    """
    most, result = benchmark.get("evaluate_rows", math.inf), {}
    names = {"split": split, "holdout": holdout(benchmark, split)}
    for section, asked in SECTIONS["muse" if benchmark["kind"] == "muse" else "tofu"].items():
        of = asked.split.format(**names)
        if not asked.optional or names["holdout"]:
            count = int(min(most, rows_of(name, benchmark, of)))
            result[section] = (asked, count, tokens_per_row(name, benchmark, of))
    return result
