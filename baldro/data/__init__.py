"""Benchmark -> records -> token batches.

A benchmark is one table (results/data/{benchmark}.parquet), one row a record: split, index in the split, question, answer,
and, where the split has them, paraphrased_answer and perturbed_answer (a list). Splits are named as on locuslab/TOFU's hub page;
`base` is what a model built from scratch learns before anything else.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from baldro.errors import BaldroError, unknown

COLUMNS = ("split", "index", "question", "answer", "paraphrased_answer", "perturbed_answer")
GENERATOR_KEYS = ("authors", "questions", "known_authors", "background_authors", "world_facts", "forget", "seed")


def build(definition: Mapping[str, Any]) -> pd.DataFrame:
    """All records of a benchmark as benchmarks.yaml defines it.

    Raises:
        BaldroError: a source that is not there, a file cut short, a missing field, splits that contradict each other.
    """
    if definition["kind"] == "fictional":
        from baldro.data.fictional import generate

        return generate(**{key: definition[key] for key in GENERATOR_KEYS if key in definition})
    if definition["kind"] == "tofu":
        from baldro.data.tofu import load

        return load(definition["source"], forget=definition["forget"], retain_rows=definition.get("retain_rows"))
    raise unknown("kind of benchmark", definition["kind"], ("fictional", "tofu"))


def write(frame: pd.DataFrame, path: Path) -> None:
    """Store a benchmark."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frame[list(COLUMNS)].to_parquet(path, index=False)


def read(path: Path) -> pd.DataFrame:
    """A stored benchmark, every split of it."""
    if not path.is_file():
        raise BaldroError(f"{path} is not there; run `baldro benchmark` first")
    frame = pd.read_parquet(path)
    lacking = [column for column in COLUMNS if column not in frame]
    if lacking:
        raise BaldroError(f"{path} lacks the column {lacking[0]}; allowed: a file that `baldro benchmark` wrote")
    return frame


def split(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """The records of one split, in order."""
    rows = frame[frame["split"] == name].sort_values("index", ignore_index=True)
    if rows.empty:
        raise unknown("split", name, frame["split"].unique(), where="the benchmark's table")
    return rows


def content_hash(frame: pd.DataFrame) -> str:
    """A hash of the rows themselves; a folder's name says nothing about what is in it."""
    text = json.dumps(frame.astype(object).where(frame.notna(), None).to_dict("records"), default=list, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
