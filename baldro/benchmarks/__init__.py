"""Benchmark -> records -> token batches.

A benchmark is one table (results/data/{benchmark}.parquet), one row a record: split, index in the split, question, answer,
and, where the split has them, paraphrased_answer and perturbed_answer (a list), and in forget splits alternate_answer: another answer, not
among those, for methods that teach one. Splits are named as on locuslab/TOFU's hub page, or as `muse` says; `base` is what a
model built from scratch learns before anything else. Running text has the question "".
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from baldro.benchmarks.splits import check_splits
from baldro.errors import unknown
from baldro.places import alternate_files
from baldro.records.benchmark import COLUMNS, content_hash, read, split, write

KINDS = ("fictional", "muse", "tofu")
GENERATOR_KEYS = ("authors", "questions", "known_authors", "background_authors", "world_facts", "forget", "seed")
MUSE_KEYS = ("train_on", "piece_words", "texts", "excerpt_words")


def build(definition: Mapping[str, Any]) -> pd.DataFrame:
    """All records of a benchmark as benchmarks.yaml defines it.

    Raises:
        BaldroError: a source that is not there, a file cut short, a missing field, splits that contradict each other or overlap.

    Returns: the records; doubtful rows that are few have a line each in `attrs["notes"]`, which is stored with them.
    """
    kind = definition.get("kind")
    if kind not in KINDS:
        raise unknown("kind of benchmark", kind, KINDS)
    check_splits(definition, what="the benchmark")
    others = alternate_files(definition, what="the benchmark")
    if kind == "fictional":
        from baldro.benchmarks.fictional import generate

        return generate(**{key: definition[key] for key in GENERATOR_KEYS if key in definition})
    if kind == "tofu":
        from baldro.benchmarks.tofu import load

        options = {key: definition[key] for key in ("holdout", "retain_rows") if key in definition}
        return load(definition["source"], forget=definition["forget"], alternates=others, **options)
    from baldro.benchmarks.muse import load

    options = {key: definition[key] for key in MUSE_KEYS if key in definition}
    return load(definition["source"], forget=definition["forget"], **options)


__all__ = ["COLUMNS", "build", "content_hash", "read", "split", "write"]
