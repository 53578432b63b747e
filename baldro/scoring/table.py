"""The table of evidence: a model's likelihoods, continuations and gradient norms, row by row."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
from torch import nn

from baldro.durable.progress import Progress
from baldro.errors import fits
from baldro.models import any_shape, full_float32
from baldro.prompts.encode import Tokens
from baldro.prompts.prompt import Prompt
from baldro.records.evidence import COLUMNS
from baldro.scoring import generation, several
from baldro.scoring.decoder import Decoder
from baldro.scoring.drafts import Row
from baldro.scoring.gradients import gradient_norms as norms_of
from baldro.scoring.likelihood import NO_STATISTICS, check_finite, likelihoods
from baldro.scoring.prepare import SectionInputs, prepare


@fits("a smaller batch_tokens, or a GPU with more memory (`baldro plan` estimates it)")
@any_shape()
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
    check: Callable[[], None] = lambda: None,
) -> pd.DataFrame:
    """One row per section, index and candidate answer; a greedy continuation of the prompt beside each right answer.

    In a process group (`baldro.scoring.several`) every process calls this with the same rows, takes its share, and gets the whole table.

    Args:
        prompt: as `Prompt.of` takes it; a section may have its own.
        records: the benchmark's table, which says its kind.
        split: the forget split.
        holdout: the split of rows that no model saw; None: optional sections are left out.
        max_new_tokens: longest continuation, where the section does not say.
        evaluate_rows: only the first so many rows of each section.
        batch_tokens: padded tokens whose keys and values are in memory, at most (one sequence may exceed it).
        gradient_norms: take them on the sections of a membership attack; a backward pass per sample.
        check: called between batches, to end here.

    Returns: `records.evidence.COLUMNS`; `clean` is NaN, for the fluency classifier to fill. `attrs["kind"]` is the benchmark's kind.
    """
    full_float32()
    model.eval()
    options = dict(split=split, holdout=holdout, max_new_tokens=max_new_tokens, evaluate_rows=evaluate_rows)
    frame, inputs = prepare(model, tokenizer, prompt, records, label=label, **options)
    result = frame.assign(gradient_norm=float("nan"), generation=None, clean=float("nan"))
    result["sequence"] = [value for each in inputs for value in each.hashes]
    result["end"] = [n for each in inputs for n in ([s.end for s in each.sequences] or [0] * len(each.frame))]
    statistics = _likelihoods(model, inputs, batch_tokens, label, check)
    result = pd.concat([result, pd.DataFrame(statistics)], axis=1)
    texts = _generations(model, tokenizer, inputs, _known(inputs, statistics), batch_tokens, label, check)
    result["generation"] = pd.Series(texts, dtype=object)  # else None would become NaN
    if gradient_norms:
        result["gradient_norm"] = _gradient_norms(model, inputs, label, check)
    result = result[list(COLUMNS)]
    result.attrs = {"kind": records.attrs["kind"]}  # by which a reader finds the sections' definitions
    return result


def _likelihoods(
    model: nn.Module, inputs: Sequence[SectionInputs], batch_tokens: int, label: str, check: Callable[[], None]
) -> list[dict[str, Any]]:
    """Statistics of each row, in order."""
    questions = [(each.section.name, index) for each in inputs if each.sequences for index in each.frame["index"]]
    sequences = [s for each in inputs for s in each.sequences]
    own = _share_of_answers(sequences, questions)
    taken, made = [sequences[i] for i in own], dict[int, dict[str, Any]]()
    progress = Progress(f"{label}, answers", len(own), unit="answer")
    with several.in_step(model):
        for batch, rows in likelihoods(model, taken, [questions[i] for i in own], batch_tokens=batch_tokens):
            check()
            for i, row in zip(batch, rows, strict=True):
                made[own[i]] = row
                progress.advance(tokens=len(taken[i].ids))
    made = several.of_all(made)
    check_finite([row["avg_loss"] for row in made.values()], f"{label}: the model")
    statistics = (made[i] for i in range(len(sequences)))
    return [next(statistics) if each.sequences else NO_STATISTICS for each in inputs for _ in range(len(each.frame))]


def _share_of_answers(sequences: Sequence[Tokens], questions: Sequence[Any]) -> list[int]:
    """This process's sequences; all answers to a question are one process's, which computes their prompt once."""
    together: dict[Any, list[int]] = defaultdict(list)
    for i, question in enumerate(questions):
        together[question].append(i)
    groups = list(together.values())
    shares = several.share([sum(len(sequences[i].ids) for i in rows) for rows in groups])
    return sorted(i for g in shares for i in groups[g])


Choices = tuple[Sequence[int], Sequence[int]]  # tokens, and what the model would have chosen in the place of each


def _known(inputs: Sequence[SectionInputs], statistics: Sequence[dict[str, Any]]) -> dict[tuple[int, int], Choices]:
    """By section and prompt: what the likelihoods' passes have already said of a continuation.

    They read the right answer and its end behind the prompt, where the answer's sequence begins with the prompt's own tokens.
    """
    known, first = {}, 0
    for at, each in enumerate(inputs):
        for g, (prompt, i) in enumerate(zip(each.prompts, each.gold, strict=False) if each.sequences else ()):
            sequence, n = each.sequences[i], len(prompt)
            if sequence.start <= n < len(sequence.ids) and sequence.ids[:n] == prompt:
                choice = statistics[first + i]["choice"].tolist()
                known[at, g] = sequence.ids[n:], choice[n - sequence.start :]
        first += len(each.frame)
    return known


def _generations(
    model: nn.Module,
    tokenizer: Any,
    inputs: Sequence[SectionInputs],
    known: Mapping[tuple[int, int], Choices],
    batch_tokens: int,
    label: str,
    check: Callable[[], None],
) -> list[str | None]:
    """A text for each right answer of the sections that generate; None elsewhere."""
    own = generation.ends(model, tokenizer)
    together: dict[Any, list[tuple[int, int]]] = defaultdict(list)  # sections that end alike share batches
    for at, each in enumerate(inputs):
        together[each.max_new_tokens, each.stop, each.ends] += [(at, g) for g in range(len(each.prompts))]
    for key, members in together.items():
        mine = several.share([key[0] + len(inputs[at].prompts[g]) for at, g in members])
        together[key] = [members[m] for m in mine]
    progress = Progress(f"{label}, generation", sum(map(len, together.values())), unit="answer")
    made: dict[tuple[int, int], str] = {}
    with several.in_step(model):
        for (new, stop, ends), members in together.items():
            decoder = Decoder(model, eos=own | ends, max_new_tokens=new, finished=generation.stopped(tokenizer, stop))
            places = {}
            for at, g in members:
                row = Row(inputs[at].prompts[g], inputs[at].drafts[g])
                if (at, g) in known:
                    decoder.begin(row, *known[at, g])
                places[row] = at, inputs[at].gold[g]
            for row in decoder(list(places), batch_tokens=batch_tokens):
                check()
                made[places[row]] = generation.cut(tokenizer.decode(row.said, skip_special_tokens=True), stop)
                progress.advance(tokens=len(row.said), note=f"{decoder.passes_per_answer:.1f} passes an answer")
    made = several.of_all(made)
    return [made.get((at, i)) for at, each in enumerate(inputs) for i in range(len(each.frame))]


def _gradient_norms(
    model: nn.Module, inputs: Sequence[SectionInputs], label: str, check: Callable[[], None]
) -> list[float]:
    """Of each right answer of a membership section; NaN elsewhere."""
    members = [(at, i) for at, each in enumerate(inputs) if each.section.membership for i in each.gold]
    taken = [inputs[at].sequences[i].without_end for at, i in members]
    # A split model takes each sample's pass in all processes.
    own = range(len(taken)) if several.is_split(model) else several.share([len(s.ids) for s in taken])
    progress = Progress(f"{label}, gradient norms", len(own), unit="answer")

    def advance(sequence: Tokens) -> None:
        check()
        progress.advance(tokens=len(sequence.ids))

    norms = norms_of(model, [taken[m] for m in own], advance=advance)
    made = several.of_all(dict(zip([members[m] for m in own], norms, strict=True)))
    return [made.get((at, i), float("nan")) for at, each in enumerate(inputs) for i in range(len(each.frame))]
