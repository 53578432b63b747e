"""Benchmark -> records -> token batches.

A benchmark is one table (results/data/{benchmark}.parquet), one row a record: split, index in the split, question, answer,
and, where the split has them, paraphrased_answer and perturbed_answer (a list). Splits are named as on locuslab/TOFU's hub page;
`base` is what a model built from scratch learns before anything else.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from baldro.data.records import COLUMNS, content_hash, read, split, write
from baldro.errors import unknown

GENERATOR_KEYS = ("authors", "questions", "known_authors", "background_authors", "world_facts", "forget", "seed")


def build(definition: Mapping[str, Any]) -> pd.DataFrame:
    """All records of a benchmark as benchmarks.yaml defines it.

    Raises:
        BaldroError: a source that is not there, a file cut short, a missing field, splits that contradict each other.
    """
    kind = definition.get("kind")
    if kind == "fictional":
        from baldro.data.fictional import generate

        return generate(**{key: definition[key] for key in GENERATOR_KEYS if key in definition})
    if kind == "tofu":
        from baldro.data.tofu import load

        return load(definition["source"], forget=definition["forget"], retain_rows=definition.get("retain_rows"))
    raise unknown("kind of benchmark", kind, ("fictional", "tofu"))


__all__ = ["COLUMNS", "build", "content_hash", "read", "split", "write"]
