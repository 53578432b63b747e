"""What a model is asked: the candidate answers and prompts of each section as token ids, checked to fit the model."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from torch import nn

from baldro.benchmarks import sections
from baldro.benchmarks.section import Section
from baldro.errors import BaldroError
from baldro.models import check_ids, positions
from baldro.prompts.encode import Tokens, encode, encode_prompts, ends, few_shot
from baldro.prompts.prompt import Prompt, hash_of
from baldro.records.benchmark import split as records_of
from baldro.records.evidence import ASKED, KEY


@dataclass(frozen=True, kw_only=True)
class SectionInputs:
    """One section's rows, and the token ids that the model gets for them."""

    section: Section
    frame: pd.DataFrame
    """A row per candidate answer."""
    sequences: list[Tokens]
    """Prompt and answer of each row; empty where the section takes no likelihood."""
    gold: list[int]
    """Positions of the right answers in `frame`."""
    prompts: list[tuple[int, ...]]
    """The prompt of each right answer, without the answer; empty where the section generates nothing."""
    drafts: list[tuple[int, ...]]
    """The right answer to each prompt, without its end: what a model that knows it would say."""
    ends: frozenset[int]
    """Tokens that end a continuation, besides the model's own."""
    stop: tuple[str, ...]
    """Texts that end a continuation."""
    max_new_tokens: int
    """Tokens of the longest continuation."""

    @property
    def hashes(self) -> list[str | None]:
        """Of each row a hash of the token ids: of its sequence, or of its prompt where no likelihood is taken."""
        if self.sequences:
            return [s.hash for s in self.sequences]
        prompts = dict(zip(self.gold, self.prompts, strict=False))
        return [hash_of(prompts[i]) if i in prompts else None for i in range(len(self.frame))]


def check_room(model: nn.Module, tokenizer: Any, prompt: Prompt | str, records: pd.DataFrame, **options: Any) -> None:
    """Check before the training that all inputs of the evidence will fit the model's positions and embedding.

    Args:
        options: `evidence`'s split, holdout, max_new_tokens and evaluate_rows.

    Raises:
        BaldroError: they do not.
    """
    prepare(model, tokenizer, prompt, records, label="the evaluation that will follow", **options)


def prepare(
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
) -> tuple[pd.DataFrame, list[SectionInputs]]:
    """The candidate answers of all sections in one frame, and the inputs of each section; arguments as of `evidence`.

    Raises:
        BaldroError: a prompt or an answer does not fit the model; the message names label and section.
    """
    wanted = sections(records, split, holdout)
    frame, inputs = candidates(records, wanted, evaluate_rows), []
    for section in wanted:
        try:
            rows = frame[frame["section"] == section.name].reset_index(drop=True)
            inputs.append(_of_section(model, tokenizer, prompt, records, section, rows, max_new_tokens))
        except BaldroError as error:
            raise BaldroError(error.code, f"{label}: section {section.name}: {error}") from None
    return frame, inputs


def candidates(records: pd.DataFrame, wanted: Sequence[Section], evaluate_rows: int | None) -> pd.DataFrame:
    """A row per candidate answer: the right one, its paraphrase where the section uses one, and the wrong ones."""
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


def _of_section(
    model: nn.Module,
    tokenizer: Any,
    prompt: Prompt | str,
    records: pd.DataFrame,
    section: Section,
    frame: pd.DataFrame,
    max_new_tokens: int,
) -> SectionInputs:
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
    drafts: list[tuple[int, ...]] = []
    if section.likelihood:
        scored = [(question, section.between + text) for question, text in pairs]
        sequences = encode(tokenizer, prompt, scored, end=section.end, keep=section.longest, **settled)
    new = section.max_new_tokens or max_new_tokens
    if section.generate:
        prompts = encode_prompts(tokenizer, prompt, [pairs[i] for i in gold], **settled)
        if section.begins:
            begun = tokenizer(section.begins, add_special_tokens=False)["input_ids"]
            prompts = [(*ids, *begun) for ids in prompts]
        drafts = (
            [s.ids[s.start :] for s in (sequences[i].without_end for i in gold)]
            if sequences
            else ([tuple(ids) for ids in tokenizer([pairs[i][1] for i in gold], add_special_tokens=False)["input_ids"]])
        )
        room = positions(model) - max(map(len, prompts))
        if room < new:
            raise BaldroError(
                "too-many-new-tokens",
                f"max_new_tokens is {new}; allowed: at most {room}, the positions that the longest prompt leaves",
            )
    check_ids(model, [*(s.ids for s in sequences), *prompts])
    tokens, texts = ends(tokenizer, prompt)
    return SectionInputs(
        section=section,
        frame=frame,
        sequences=sequences,
        gold=gold,
        prompts=prompts,
        drafts=drafts,
        ends=frozenset(tokens),
        stop=(*section.stop, *texts),
        max_new_tokens=new,
    )
