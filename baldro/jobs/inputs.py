"""What verbs about a run have in common: its model, its token sequences."""

from argparse import Namespace
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from baldro import models
from baldro.benchmarks.idk import idk
from baldro.errors import BaldroError, unknown
from baldro.jobs.run_inputs import RunInputs, check_unlearning
from baldro.jobs.run_inputs import read as read_files
from baldro.jobs.several import number
from baldro.prompts.encode import Tokens, encode
from baldro.prompts.prompt import Prompt
from baldro.records import reference as stored_reference
from baldro.records.benchmark import split as rows_of
from baldro.records.benchmark import topics as topics_of
from baldro.runs.agreement import check_sharding
from baldro.training.update import Sample


def read(options: Namespace) -> RunInputs:
    """The files that the options name; from now on as many CPU threads as they say."""
    set_threads(options.threads)
    return read_files(options)


def set_threads(threads: int) -> None:
    """CPU threads from now on."""
    torch.set_num_threads(threads)


def open_to_train(given: RunInputs) -> tuple[Any, Any]:
    """Model and tokenizer, with weights as the run's precision wants them."""
    run = given.run
    if given.start != models.BUILD:
        return models.load(given.start, precision=run.precision), models.tokenizer(given.tokenizer)
    if not given.model.build:
        raise BaldroError("model-not-built", f"model {given.model.name} is not built; allowed: --start or --part")
    network, tokenizer = models.build(given.model.build, texts(given.records), seed=run.seed)
    return models.cast(network, models.DTYPES[run.precision]), tokenizer


def texts(records: pd.DataFrame) -> list[str]:
    """What a tokenizer is trained on: every text once, held-out ones too, or names that are whole tokens would give training rows away."""
    wrong = records["perturbed_answer"].dropna().explode()
    columns = [records[name].dropna() for name in ("question", "answer", "paraphrased_answer")]
    return sorted(set(pd.concat([*columns, wrong])))


def open_to_score(given: RunInputs, *, shard: bool = False) -> tuple[Any, Any]:
    """Model and tokenizer, weights as they are stored, on the GPU if there is one; in several processes each on its own.

    Args:
        shard: split over them, so that each holds a share.

    Raises:
        BaldroError: more processes than GPUs; one process, and a model to split.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if shard:
        check_sharding(given.run, devices=number())
    if number() > 1:
        from baldro.training.devices import accelerated

        device = accelerated().device
    network = models.load(given.start)
    if shard:
        from baldro.training import shards

        shards.shard(network, device=device, size=number())
    return network if shard else network.to(device), models.tokenizer(given.tokenizer)


def tokens(given: RunInputs, network: Any, tokenizer: Any, split: str) -> list[Tokens]:
    """A split's sequences, in order. Running text has no questions: then it has no prompt either, and no end of sequence."""
    rows = rows_of(given.records, split)
    pairs = list(zip(rows["question"], rows["answer"], strict=True))
    running = rows["question"].eq("").all()
    prompt = Prompt.of("{question}") if running else given.prompt
    return _encoded(network, tokenizer, prompt, pairs, end=not running)


def _encoded(
    network: Any, tokenizer: Any, prompt: Prompt, pairs: list[tuple[str, str]], **options: Any
) -> list[Tokens]:
    """Token ids that the model has positions and embeddings for."""
    sequences = encode(tokenizer, prompt, pairs, longest=models.positions(network), **options)
    models.check_ids(network, [s.ids for s in sequences])
    return sequences


ANSWERS = ("answer", "idk", "alternates")
"""Kinds of answers to the forget questions: the gold one, one that declines (baldro.benchmarks.idk), the benchmark's alternate_answer."""


def answers_of(given: RunInputs, network: Any, tokenizer: Any, split: str, kind: str) -> list[Tokens]:
    """A split's sequences, in order, with the answers of one of the kinds ANSWERS in place of the gold ones.

    Raises:
        BaldroError: running text, which has no questions; a row without an alternate answer.
    """
    if kind not in ANSWERS:
        raise unknown("kind of answers", kind, ANSWERS)
    if kind == "answer":
        return tokens(given, network, tokenizer, split)
    rows = rows_of(given.records, split)
    if rows["question"].eq("").any():
        raise BaldroError("no-other-answers", f"split {split} has no questions; allowed: benchmarks of questions")
    lacking = rows.index[rows["alternate_answer"].isna()]
    if kind == "alternates" and len(lacking):
        raise BaldroError(
            "no-other-answers",
            f"row {lacking[0]} of split {split} has no alternate answer; allowed: a forget split of a benchmark that has them",
        )
    others = idk(len(rows)) if kind == "idk" else rows["alternate_answer"]
    pairs = list(zip(rows["question"], others, strict=True))
    return _encoded(network, tokenizer, given.prompt, pairs)


def reference_tokens(path: Path, sequences: list[Tokens], what: str) -> list[tuple[float, ...]]:
    """What `baldro reference` stored of these sequences: log r of each answer token, sequence by sequence.

    Args:
        what: the sequences in words, for errors: "split forget10".

    Raises:
        BaldroError: a file that is none of `baldro reference`, or is of other token ids: other rows, another prompt or another tokenizer.
    """
    stored = stored_reference.read(path)
    counts = [s.answer for s in sequences]
    same = stored["sequence"].tolist() == [s.hash for s in sequences]
    if not same or stored["tokens"].tolist() != counts or stored["token_logp"].map(len).tolist() != counts:
        raise BaldroError(
            "reference-of-others",
            f"{path} is of other rows, prompt or tokenizer than {what}; make it anew with `baldro reference`",
        )
    return [tuple(row.tolist()) for row in stored["token_logp"]]


def samples(
    given: RunInputs,
    network: Any,
    tokenizer: Any,
    *,
    reference: Path | None,
    retain_split: str | None,
    alternate_reference: Path | None = None,
) -> tuple[list[Sample], list[Tokens], list[int | None] | None]:
    """The forget samples (none unless the run's stage forgets), what retain batches are drawn from, and its topics if they alternate."""
    run, method = given.run, given.run.method
    if not run.facts.forgets:
        return [], tokens(given, network, tokenizer, run.facts.learns(run, retain_split)), None
    check_unlearning(run, retain_split=retain_split, reference=reference, alternate_reference=alternate_reference)
    gold = tokens(given, network, tokenizer, run.split)
    columns, retain_topics = {"tokens": gold}, None
    if "reference" in method.needs:
        columns["reference"] = reference_tokens(reference, gold, f"split {run.split}")
    if method.answers:
        columns["alternate"] = answers_of(given, network, tokenizer, run.split, method.answers)
        compared = reference_tokens(alternate_reference, columns["alternate"], f"split {run.split}")
        columns["alternate_reference"] = compared
    if run.rmu_topics == "alternating":
        columns["topic"], retain_topics = _topics(given, retain_split)
    forget = [Sample(**dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True)]
    retain = tokens(given, network, tokenizer, retain_split) if method.retains else []
    return forget, retain, retain_topics


def _topics(given: RunInputs, retain_split: str) -> tuple[list[int], list[int | None]]:
    """Number of the topic of each forget row, in the order in which topics first stand there (0 of all if rows say none), and of each
    retain row: None of one that says no topic, and so goes with each; -1 of one whose topic is not forgotten.

    Raises:
        BaldroError: a topic without a retain row.
    """
    forget, retain = (topics_of(given.records, split) for split in (given.run.split, retain_split))
    numbers = {topic: number for number, topic in enumerate(dict.fromkeys(forget))}
    if lacking := [topic for topic in numbers if not {topic, None} & set(retain)]:
        said = f"rmu_topics alternating: split {retain_split} has no row of topic {lacking[0]}"
        raise BaldroError(
            "topic-not-retained", f"{said}; allowed: mixed, or rows of each topic, or rows without a topic"
        )
    return [numbers[topic] for topic in forget], [topic and numbers.get(topic, -1) for topic in retain]
