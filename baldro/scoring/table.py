"""The table of evidence: what is asked on each section, and what the model says to it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from torch import nn

from baldro.benchmarks import sections
from baldro.benchmarks.section import Section
from baldro.durable.progress import Progress
from baldro.errors import BaldroError, fits
from baldro.models import check_ids, full_float32, positions
from baldro.prompts.encode import Tokens, encode, encode_prompts, ends, few_shot
from baldro.prompts.prompt import Prompt, hash_of
from baldro.records.benchmark import split as records_of
from baldro.records.evidence import ASKED, COLUMNS, KEY
from baldro.scoring import generation
from baldro.scoring.gradients import gradient_norms as norms_of
from baldro.scoring.likelihood import NO_STATISTICS, likelihoods


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One section's rows and token ids."""

    section: Section
    frame: pd.DataFrame
    """The section's candidates."""
    sequences: list[Tokens]
    """A sequence per candidate; empty where no likelihood is taken."""
    gold: list[int]
    """Where in `frame` the right answers stand."""
    prompts: list[tuple[int, ...]]
    """A prompt per right answer, tokenised by itself; empty where nothing is generated."""
    ends: frozenset[int]
    """Tokens that end a continuation."""
    stop: tuple[str, ...]
    """Texts that end one."""
    max_new_tokens: int
    """Longest continuation."""

    @property
    def hashes(self) -> list[str | None]:
        """What tells of each row in which token ids it was asked: its sequence's, or its prompt's where no likelihood is taken."""
        prompts = dict(zip(self.gold, self.prompts, strict=False))
        asked = [hash_of(prompts[i]) if i in prompts else None for i in range(len(self.frame))]
        return [s.hash for s in self.sequences] or asked


@fits("a smaller batch_tokens, or a GPU with more memory (`baldro plan` estimates it)")
def evidence(
    model: nn.Module,
    tokenizer: Any,
    prompt: Prompt | str,
    records: pd.DataFrame,
    *,
    split: str,
    holdout: str | None = None,
    max_new_tokens: int,
    evaluate_rows: int | None = None,
    batch_tokens: int = 16384,
    gradient_norms: bool = False,
    label: str = "score",
) -> pd.DataFrame:
    """One row per section, index and candidate answer; a greedy continuation of the prompt beside each right answer.

    Args:
        prompt: as `Prompt.of` takes it; a section may have its own.
        records: the benchmark's table, which says its kind.
        split: the forget split.
        holdout: the split of rows that no model saw; None: optional sections are left out.
        max_new_tokens: longest continuation, where the section does not say.
        evaluate_rows: only the first so many rows of each section.
        batch_tokens: padded tokens whose keys and values are in memory, at most (one sequence may exceed it).
        gradient_norms: take them on the sections of a membership attack; a backward pass per sample.

    Returns: `records.evidence.COLUMNS`; `clean` is NaN, for the fluency classifier to fill. `attrs["kind"]` is the benchmark's kind.
    """
    full_float32()
    model.eval()
    some = dict(split=split, holdout=holdout, max_new_tokens=max_new_tokens, evaluate_rows=evaluate_rows)
    frame, asked = _all_asked(model, tokenizer, prompt, records, label=label, **some)
    result = frame.assign(gradient_norm=float("nan"), generation=None, clean=float("nan"))
    result = result.assign(sequence=[value for a in asked for value in a.hashes])
    result = result.assign(end=[n for a in asked for n in ([s.end for s in a.sequences] or [0] * len(a.frame))])
    result = pd.concat([result, pd.DataFrame(_likelihoods(model, asked, batch_tokens, label))], axis=1)
    texts = _generations(model, tokenizer, asked, batch_tokens, label)
    result["generation"] = pd.Series(texts, dtype=object)  # else None would become NaN
    if gradient_norms:
        result["gradient_norm"] = _gradient_norms(model, asked, label)
    result = result[list(COLUMNS)]
    result.attrs = {"kind": records.attrs["kind"]}  # which says what the sections are
    return result


def check_room(
    model: nn.Module,
    tokenizer: Any,
    prompt: Prompt | str,
    records: pd.DataFrame,
    **asked: Any,
) -> None:
    """Whether all that `evidence` will ask fits the model's positions and embedding.

    Args:
        asked: evidence's split, holdout, max_new_tokens and evaluate_rows.

    Raises:
        BaldroError: it does not.
    """
    _all_asked(model, tokenizer, prompt, records, label="the evaluation that will follow", **asked)


def _all_asked(
    model: nn.Module,
    tokenizer: Any,
    prompt: Prompt | str,
    records: pd.DataFrame,
    *,
    split: str,
    max_new_tokens: int,
    label: str,
    holdout: str | None = None,
    evaluate_rows: int | None = None,
) -> tuple[pd.DataFrame, list[Asked]]:
    """The candidates, and every section's rows and token ids."""
    wanted = sections(records, split, holdout)
    frame, asked = candidates(records, wanted, evaluate_rows), []
    for section in wanted:
        try:
            rows = frame[frame["section"] == section.name].reset_index(drop=True)
            asked.append(_ask(model, tokenizer, prompt, records, section, rows, max_new_tokens))
        except BaldroError as error:
            raise BaldroError(f"{label}: section {section.name}: {error}") from None
    return frame, asked


def candidates(records: pd.DataFrame, wanted: Sequence[Section], evaluate_rows: int | None) -> pd.DataFrame:
    """What is asked: each section's questions with the answer, its paraphrase where the section takes one, and the wrong answers."""
    rows = []
    for section in wanted:
        for record in records_of(records, section.split).head(evaluate_rows or len(records)).itertuples():
            texts = {"answer": record.answer}
            if section.paraphrase and isinstance(record.paraphrased_answer, str):
                texts["paraphrase"] = record.paraphrased_answer
            if isinstance(record.perturbed_answer, Sequence) or hasattr(record.perturbed_answer, "tolist"):
                texts |= {f"wrong_{j}": text for j, text in enumerate(record.perturbed_answer)}
            rows += [(section.name, record.index, c, record.question, t) for c, t in texts.items()]
    return pd.DataFrame(rows, columns=[*KEY, *ASKED])


def _ask(
    model: nn.Module,
    tokenizer: Any,
    prompt: Prompt | str,
    records: pd.DataFrame,
    section: Section,
    frame: pd.DataFrame,
    max_new_tokens: int,
) -> Asked:
    prompt = Prompt.of(section.prompt or prompt)
    before = ""
    if section.shots:
        examples = records_of(records, section.shots)
        before = few_shot(prompt, list(zip(examples["question"], examples["answer"], strict=True)))
    gold = [i for i, candidate in enumerate(frame["candidate"]) if candidate == "answer"]
    pairs = list(zip(frame["question"], frame["text"], strict=True))
    settled = dict(longest=positions(model), before=before)
    sequences: list[Tokens] = []
    prompts: list[tuple[int, ...]] = []
    if section.likelihood:
        scored = [(question, section.between + text) for question, text in pairs]
        sequences = encode(tokenizer, prompt, scored, end=section.end, keep=section.longest, **settled)
    new = section.max_new_tokens or max_new_tokens
    if section.generate:
        prompts = encode_prompts(tokenizer, prompt, [pairs[i] for i in gold], **settled)
        room = positions(model) - max(map(len, prompts))
        if room < new:
            raise BaldroError(f"max_new_tokens is {new}; allowed: at most {room}, by the model's positions")
    check_ids(model, [*(s.ids for s in sequences), *prompts])
    tokens, texts = ends(tokenizer, prompt)
    return Asked(
        section=section,
        frame=frame,
        sequences=sequences,
        gold=gold,
        prompts=prompts,
        ends=frozenset(tokens),
        stop=(*section.stop, *texts),
        max_new_tokens=new,
    )


def _likelihoods(model: nn.Module, asked: Sequence[Asked], batch_tokens: int, label: str) -> list[dict[str, Any]]:
    """Statistics of each row, in order."""
    scored = [(a.section.name, index) for a in asked if a.sequences for index in a.frame["index"]]
    sequences = [s for a in asked for s in a.sequences]
    made: list[dict[str, Any]] = [{} for _ in sequences]
    progress = Progress(f"{label}, answers", len(sequences), unit="answer")
    for batch, rows in likelihoods(model, sequences, scored, batch_tokens=batch_tokens):
        for i, row in zip(batch, rows, strict=True):
            made[i] = row
            progress.advance(tokens=len(sequences[i].ids))
    if not all(abs(row["avg_loss"]) < float("inf") for row in made):
        raise BaldroError(
            f"{label}: the model gives a probability that is no number; allowed: a model with finite weights"
        )
    scores = iter(made)
    return [next(scores) if a.sequences else NO_STATISTICS for a in asked for _ in range(len(a.frame))]


def _generations(
    model: nn.Module, tokenizer: Any, asked: Sequence[Asked], batch_tokens: int, label: str
) -> list[str | None]:
    """A text for each right answer of the sections that generate; None elsewhere."""
    texts: list[list[str | None]] = [[None] * len(a.frame) for a in asked]
    named = generation.ends(model, tokenizer)
    progress = Progress(f"{label}, generation", sum(len(a.prompts) for a in asked), unit="answer")
    alike: dict[
        tuple[int, tuple[str, ...], frozenset[int]], list[tuple[int, int]]
    ] = {}  # prompts that may share a batch
    for at, a in enumerate(asked):
        alike.setdefault((a.max_new_tokens, a.stop, a.ends), []).extend((at, g) for g in range(len(a.prompts)))
    for (new, stop, own), members in alike.items():
        prompts = [asked[at].prompts[g] for at, g in members]
        finished = generation.stopped(tokenizer, stop)
        for batch in generation.batches(prompts, max_new_tokens=new, batch_tokens=batch_tokens):
            some = [prompts[i] for i in batch]
            made = generation.generate(model, some, eos=named | own, max_new_tokens=new, finished=finished)
            for i, ids in zip(batch, made, strict=True):
                at, g = members[i]
                texts[at][asked[at].gold[g]] = generation.cut(tokenizer.decode(ids, skip_special_tokens=True), stop)
                progress.advance(tokens=len(ids))
    return [text for own in texts for text in own]


def _gradient_norms(model: nn.Module, asked: Sequence[Asked], label: str) -> list[float]:
    """Of each right answer of a membership section; NaN elsewhere."""
    total = sum(len(a.gold) for a in asked if a.section.membership)
    progress = Progress(f"{label}, gradient norms", total, unit="answer")
    norms: list[float] = []
    for a in asked:
        own = [float("nan")] * len(a.frame)
        if a.section.membership:
            taken = [a.sequences[i].without_end for i in a.gold]
            made = norms_of(model, taken, advance=lambda s: progress.advance(tokens=len(s.ids)))
            for i, norm in zip(a.gold, made, strict=True):
                own[i] = norm
        norms += own
    return norms
