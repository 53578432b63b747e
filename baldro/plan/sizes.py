"""How large models and benchmarks are: from their definitions alone, nothing is loaded."""

import math
from collections.abc import Mapping
from typing import Any

from baldro.benchmarks import Definition, Section, define
from baldro.errors import BaldroError


class Unknown(BaldroError):
    """A fact that a definition lacks: what to add where."""

    def __init__(self, key: str, name: str, file: str = "benchmarks.yaml"):
        super().__init__("size-not-known", f"unknown: add {key} to {name} in {file}")


def parameters(name: str, model: Mapping[str, Any]) -> int:
    """Number of parameters: counted where the model is built (a Llama with tied embeddings), else as models.yaml has it.

    Raises:
        Unknown: no architecture and no `parameters`.
    """
    if "build" not in model:
        if "parameters" not in model:
            raise Unknown("parameters", name, "models.yaml")
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

    A layer has four of width to width and three between width and the MLP's. Grouped keys and values, which are not known, would be fewer.
    """
    width, depth = shape(name, model)
    return rank * depth * (4 * 2 * width + 3 * (width + _inner(name, model)))


def output_matrices(name: str, model: Mapping[str, Any], layers: int) -> int:
    """Weights of the MLP's output matrices (down_proj) of so many layers."""
    return layers * shape(name, model)[0] * _inner(name, model)


def _inner(name: str, model: Mapping[str, Any]) -> int:
    """Width of the MLP; where only the number of parameters is known, 8/3 of the model's (then 12 width^2 is a layer, as in `shape`)."""
    return model["build"]["intermediate_size"] if "build" in model else round(8 / 3 * shape(name, model)[0])


def rows(name: str, benchmark: Mapping[str, Any] | Definition) -> Mapping[str, int]:
    """Rows by split: as benchmarks.yaml has them, or computed where its kind can.

    Raises:
        Unknown: neither.
    """
    known = define(benchmark).counted
    if known is None:
        raise Unknown("rows", name)
    return known


def rows_of(name: str, benchmark: Mapping[str, Any] | Definition, split: str) -> int:
    """Rows of one split."""
    known = rows(name, benchmark)
    if split not in known:
        raise Unknown(f"rows: {{{split}: ...}}", name)
    return known[split]


def tokens_per_row(name: str, benchmark: Mapping[str, Any] | Definition, split: str) -> float:
    """Mean tokens of a prompt with its answer in a split.

    Raises:
        Unknown: benchmarks.yaml does not say.
    """
    known = define(benchmark).tokens_per_row
    if isinstance(known, Mapping):
        if split not in known:
            raise Unknown(f"tokens_per_row: {{{split}: ...}}", name)
        return known[split]
    if known is None:
        raise Unknown("tokens_per_row", name)
    return known


def scored(name: str, benchmark: Mapping[str, Any] | Definition, split: str) -> dict[str, tuple[Section, int, float]]:
    """Each section of the evidence when `split` is forgotten: what is asked, its rows, their mean tokens.

    A perturbed forget split has as many rows as the split.
    """
    definition, result = define(benchmark), {}
    held = definition.held_out(split)
    for section in definition.sections:
        of = section.split.replace("{split}_perturbed", "{split}").format(split=split, holdout=held)
        if not section.optional or held or of in rows(name, benchmark):
            count = min(definition.evaluate_rows or math.inf, rows_of(name, benchmark, of))
            result[section.name] = (section, int(count), tokens_per_row(name, benchmark, of))
    return result
