"""What verbs about a run have in common: its model, its token sequences."""

from argparse import Namespace
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from baldro import models
from baldro.cli.given import Given
from baldro.cli.given import read as read_files
from baldro.combine import Sample
from baldro.data.encode import Tokens, encode
from baldro.data.records import split as rows_of
from baldro.errors import BaldroError
from baldro.files import read_table
from baldro.grid import OBJECTIVES, Run


def read(options: Namespace) -> Given:
    """The files that the options name; from now on as many CPU threads as they say."""
    set_threads(options.threads)
    return read_files(options)


def set_threads(threads: int) -> None:
    """CPU threads from now on."""
    torch.set_num_threads(threads)


def open_to_train(given: Given) -> tuple[Any, Any]:
    """Model and tokenizer, with weights as the run's precision wants them."""
    run = given.run
    if given.start != models.BUILD:
        return models.load(given.start, precision=run.precision), models.tokenizer(given.start)
    if not given.model["build"]:
        raise BaldroError(
            f"model {given.model['name']} is not built from scratch; allowed: --start with a folder, or --part"
        )
    network, tokenizer = models.build(given.model["build"], texts(given.records), seed=run.seed)
    return network.to(models.DTYPES[run.precision]), tokenizer


def texts(records: pd.DataFrame) -> list[str]:
    """What a tokenizer is trained on: every text once, held-out ones too, or names that are whole tokens would give training rows away."""
    wrong = records["perturbed_answer"].dropna().explode()
    columns = [records[name].dropna() for name in ("question", "answer", "paraphrased_answer")]
    return sorted(set(pd.concat([*columns, wrong])))


def open_to_score(given: Given) -> tuple[Any, Any]:
    """Model and tokenizer, weights as they are stored, on the GPU if there is one."""
    return models.load(given.start).to("cuda" if torch.cuda.is_available() else "cpu"), models.tokenizer(given.start)


def tokens(given: Given, network: Any, tokenizer: Any, split: str) -> list[Tokens]:
    """A split's sequences, in order. Running text has no questions: then it has no prompt either, and no end of sequence."""
    rows = rows_of(given.records, split)
    pairs = list(zip(rows["question"], rows["answer"], strict=True))
    running = rows["question"].eq("").all()
    prompt = "{question}" if running else given.model["prompt"]
    return encode(tokenizer, prompt, pairs, longest=models.positions(network), end=not running)


def samples(
    given: Given, network: Any, tokenizer: Any, *, reference: Path | None, retain_split: str | None
) -> tuple[list[Sample], list[Tokens]]:
    """The forget samples (none unless the run unlearns), and what retain batches are drawn from."""
    run, method = given.run, OBJECTIVES[given.run.objective]
    if not method.unlearns:
        return [], tokens(given, network, tokenizer, run.split)
    forget = tokens(given, network, tokenizer, run.split)
    values: list[float | None] = [None] * len(forget)
    if method.reference:
        values = _reference(reference, forget, run)
    if method.retains and retain_split is None:
        raise BaldroError(f"{run.objective} needs --retain-split; allowed: a split of the benchmark, e.g. retain90")
    retain = tokens(given, network, tokenizer, retain_split) if method.retains else []
    return [Sample(tokens=t, reference=v) for t, v in zip(forget, values, strict=True)], retain


def _reference(path: Path | None, forget: list[Tokens], run: Run) -> list[float]:
    if path is None:
        raise BaldroError(f"{run.objective} needs --reference; allowed: a file that `baldro reference` wrote")
    stored = read_table(path)
    if stored["tokens"].tolist() != [t.answer for t in forget]:
        raise BaldroError(
            f"{path} is of other rows or another tokenizer than split {run.split}; make it anew with `baldro reference`"
        )
    return stored["logp"].tolist()
