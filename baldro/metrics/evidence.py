"""From a frame of evidence (a row per section x index x candidate) to arrays per section; every gap is an error here.

Legend: N samples of a section, ordered by `index`; K wrong answers of each.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from baldro.errors import BaldroError, unknown

SECTIONS = ("forget", "retain", "real_authors", "world_facts")
PARAPHRASED = ("forget", "retain")  # the others are judged on the answer itself, against its options
COLUMNS = ("section", "index", "candidate", "question", "text", "tokens", "avg_loss", "hit", "generation")
KEY = ["section", "index", "candidate"]
CANDIDATE = r"answer|paraphrase|wrong_(?:0|[1-9][0-9]*)"
ROUNDING = 1e-6  # how far below 0 an average loss may fall by rounding alone


@dataclass(frozen=True, kw_only=True)
class Section:
    """One section's evidence as arrays."""

    texts: pd.DataFrame  # question and text by (index, candidate): what was asked
    answer_loss: np.ndarray  # (N,) nats per token
    paraphrase_loss: np.ndarray | None  # (N,); None where the section has no paraphrases
    wrong_loss: np.ndarray  # (N, K)
    references: list[str]  # N answers
    generations: list[str]  # N greedy continuations
    hits: list[np.ndarray]  # N of (n_i,) booleans: answer token is the argmax

    @property
    def correct_loss(self) -> np.ndarray:
        """(N,) loss of the candidate that the truth ratio holds to be right."""
        return self.answer_loss if self.paraphrase_loss is None else self.paraphrase_loss


def read_evidence(samples: pd.DataFrame, *, where: str, sections: Sequence[str] = SECTIONS) -> dict[str, Section]:
    """The asked `sections` of an evidence frame. Raises BaldroError naming `where`, section, index and candidate of the
    first missing, repeated, unknown or non-finite piece."""
    _check_columns(samples, where)
    _check_rows(samples, where)
    return {name: _section(samples[samples["section"] == name], name, where) for name in sections}


def check_same_rows(model: Section, retain: Section) -> None:
    """Raise BaldroError unless both frames scored the same questions and candidates of the forget section."""
    for at in model.texts.index.symmetric_difference(retain.texts.index):
        who = "samples" if at in retain.texts.index else "retain_samples"
        raise BaldroError(
            f"{who}: no {_place('forget', *at)}, which the other frame has; both need the same forget rows"
        )
    unequal = (model.texts != retain.texts).to_numpy()
    if unequal.any():
        row, column = np.argwhere(unequal)[0]
        one, other = (frame.texts.iat[row, column][:60] for frame in (model, retain))
        name, at = model.texts.columns[column], _place("forget", *model.texts.index[row])
        raise BaldroError(
            f"retain_samples: {name} of {at} is {other!r} but {one!r} in samples; both need the same rows"
        )


def _check_columns(samples: pd.DataFrame, where: str) -> None:
    missing = [name for name in COLUMNS if name not in samples.columns]
    if missing:
        raise BaldroError(f"{where}: no column {', '.join(missing)}; needs: {', '.join(COLUMNS)}")
    if samples.empty:
        raise BaldroError(f"{where}: no rows; needs one per section, index and candidate")
    if not pd.api.types.is_integer_dtype(samples["index"]) or samples["index"].isna().any():
        raise BaldroError(f"{where}: column index holds {samples['index'].dtype}; needs integers, none missing")


def _check_rows(samples: pd.DataFrame, where: str) -> None:
    for name in sorted(set(samples["section"]) - set(SECTIONS), key=str):
        raise unknown("section", name, SECTIONS, where=where)
    strange = ~samples["candidate"].astype(str).str.fullmatch(CANDIDATE)
    _refuse(samples, strange, where, "candidate must be answer, paraphrase, wrong_0, wrong_1, ...")
    _refuse(samples, samples.duplicated(KEY), where, "appears twice; needs one row each")
    for column in ("question", "text"):
        _refuse(samples, samples[column].isna(), where, f"has no {column}")
    loss = pd.to_numeric(samples["avg_loss"], errors="coerce")
    _refuse(samples, ~(np.isfinite(loss) & (loss >= -ROUNDING)), where, "avg_loss must be finite and 0 or more")


def _section(rows: pd.DataFrame, name: str, where: str) -> Section:
    losses = _losses(rows, name, where)
    answers = rows[rows["candidate"] == "answer"].sort_values("index")
    _refuse(answers, ~answers["generation"].map(_is_text).astype(bool), where, "has no generation")
    hits = [np.asarray(hit) for hit in answers["hit"]]
    tokens = answers["tokens"].tolist()
    bad = [h.dtype != bool or h.shape != (n,) or n < 1 for h, n in zip(hits, tokens, strict=True)]
    _refuse(answers, np.array(bad), where, "hit must be booleans, one for each of its tokens")
    return Section(
        texts=rows.set_index(["index", "candidate"])[["question", "text"]].sort_index(),
        answer_loss=losses["answer"].to_numpy(),
        paraphrase_loss=losses["paraphrase"].to_numpy() if name in PARAPHRASED else None,
        wrong_loss=losses.filter(like="wrong_").to_numpy(),
        references=answers["text"].tolist(),
        generations=answers["generation"].tolist(),
        hits=hits,
    )


def _losses(rows: pd.DataFrame, name: str, where: str) -> pd.DataFrame:
    """(N, candidates) average losses, the columns in order; BaldroError when any cell of the rectangle is missing."""
    if rows.empty:
        raise BaldroError(f"{where}: no section {name!r}; needs: {', '.join(SECTIONS)}")
    table = rows.pivot(index="index", columns="candidate", values="avg_loss").astype(np.float64)
    count = max(1, sum(candidate.startswith("wrong_") for candidate in table.columns))
    expected = ["answer", *(["paraphrase"] if name in PARAPHRASED else []), *(f"wrong_{j}" for j in range(count))]
    full = table.reindex(columns=expected)
    if full.isna().to_numpy().any():
        row, column = np.argwhere(full.isna().to_numpy())[0]
        raise BaldroError(
            f"{where}: no {_place(name, full.index[row], expected[column])}; needs: {', '.join(expected)}"
        )
    for candidate in sorted(set(table.columns) - set(expected)):
        raise BaldroError(f"{where}: section {name!r} has candidate {candidate!r}; allowed: {', '.join(expected)}")
    return full


def _refuse(rows: pd.DataFrame, bad: pd.Series | np.ndarray, where: str, problem: str) -> None:
    bad = np.asarray(bad)
    if bad.any():
        raise BaldroError(f"{where}: {_place(*rows.iloc[int(bad.argmax())][KEY])}: {problem}")


def _place(section: str, index: int, candidate: str) -> str:
    return f"section {section!r} index {index} candidate {candidate!r}"


def _is_text(value: object) -> bool:
    return isinstance(value, str)
