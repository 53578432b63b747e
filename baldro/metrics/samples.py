"""Our own evidence (samples.parquet, a row per section x index x candidate) as columns; every gap in it is an error here."""

from collections.abc import Callable, Mapping
from functools import cache, cached_property

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from baldro.benchmarks import Section, kind_of
from baldro.errors import BaldroError, unknown
from baldro.metrics.collapse import length, repetition
from baldro.metrics.evidence import Absent, Evidence, place
from baldro.metrics.membership import min_k, min_k_plus_plus, zlib_ratio
from baldro.metrics.memorization import exact_memorization, extraction_strength
from baldro.metrics.probability import probability
from baldro.metrics.rouge import KINDS, exact_match, rouge
from baldro.records.evidence import ASKED, KEY, REQUIRED

CANDIDATE = r"answer|paraphrase|wrong_(?:0|[1-9][0-9]*)"
ROUNDING = 1e-6  # how far below 0 an average loss may fall by rounding alone
STATISTICS = {
    "hit": ("booleans", "b", lambda v: v == v),
    "logp": ("finite numbers, 0 at most", "fiu", lambda v: v <= 1e-3),  # 1e-3: rounding in single precision
    "mu": ("finite numbers", "fiu", lambda v: v == v),
    "sigma": ("finite numbers, 0 or more", "fiu", lambda v: v >= 0),
}
"""Statistic of a token -> what it must be, in words; its kinds of numpy's; which values it may have."""


def from_samples(samples: pd.DataFrame, *, where: str) -> Evidence:
    """Our own evidence, a row per section x index x candidate; its `attrs["kind"]` is the benchmark's kind.

    Raises BaldroError naming `where`, section, index and candidate of the first missing, repeated, unknown or
    non-finite piece: here of the frame, when a column is read of its section.
    """
    _check_columns(samples, where)
    asked = {section.name: section for section in kind_of(samples, where=where).sections}
    _check_rows(samples, asked, where)
    parts = {name: rows.sort_values("index", kind="stable") for name, rows in samples.groupby("section", sort=False)}

    @cache
    def rows_of(section: str) -> _Rows:
        if section in parts:
            return _Rows(parts[section], section=asked[section], where=where)
        if asked[section].optional:
            raise Absent(f"the benchmark has no {section} split")
        raise BaldroError("section-missing", f"{where}: no section {section!r}; needs: {', '.join(asked)}")

    def compute(section: str, name: str) -> pd.Series | pd.DataFrame:
        if name not in _COMPUTE:
            raise Absent(f"our evidence has no column {name}")
        rows = rows_of(section)
        values = _COMPUTE[name](rows)
        return values if isinstance(values, pd.DataFrame) else rows.series(values)

    def texts(section: str) -> pd.DataFrame:
        rows = rows_of(section).rows.set_index(["index", "candidate"])
        return rows[[name for name in (*ASKED, "tokens", "generation", "sequence") if name in rows]].sort_index()

    return Evidence(kind=samples.attrs["kind"], where=where, compute=compute, texts=texts)


class _Rows:
    """The rows of one section, checked as far as they are read."""

    def __init__(self, rows: pd.DataFrame, *, section: Section, where: str):
        self.rows, self.section, self.where = rows, section.name, where
        self.answers = rows[rows["candidate"] == "answer"]
        lost = set(rows["index"]) - set(self.answers["index"])
        if lost:
            gap = place(section.name, min(lost), "answer")
            raise BaldroError("row-missing", f"{where}: no {gap}; every sample needs an answer")
        strange = rows["candidate"].eq("paraphrase") & (not section.paraphrase)
        _refuse("unknown-candidate", rows, strange, where, "this section has no paraphrases")

    def series(self, values: ArrayLike) -> pd.Series:
        return pd.Series(values, index=self.answers["index"].to_numpy(), dtype=np.float64)

    def losses(self, candidates: list[str]) -> pd.DataFrame:
        """(N, candidates) average losses; BaldroError when any cell is missing."""
        table = self.rows.pivot(index="index", columns="candidate", values="avg_loss").astype(np.float64)
        full = table.reindex(columns=candidates)
        for row, column in np.argwhere(full.isna().to_numpy())[:1]:
            gap = place(self.section, full.index[row], candidates[column])
            raise BaldroError("row-missing", f"{self.where}: no {gap}; needs: {', '.join(candidates)}")
        return full.clip(lower=0)  # below 0 by rounding alone: see ROUNDING

    def loss(self, candidate: str) -> pd.Series:
        return self.losses([candidate])[candidate]

    def wrong_losses(self) -> pd.DataFrame:
        count = max(1, sum(name.startswith("wrong_") for name in self.rows["candidate"].unique()))
        return self.losses([f"wrong_{j}" for j in range(count)])

    @cached_property
    def rouge(self) -> dict[str, np.ndarray]:
        return rouge(self.texts(), self.generations())

    def texts(self) -> list[str]:
        return self.answers["text"].tolist()

    def generations(self) -> list[str]:
        _refuse("text-missing", self.answers, ~_is_text(self.answers["generation"]), self.where, "has no generation")
        return self.answers["generation"].tolist()

    def tokens(self, name: str) -> list[np.ndarray]:
        """One statistic of each answer token, those that end the answer left out."""
        what, kinds, signed = STATISTICS[name]
        values = [np.asarray(value) for value in self.answers[name]]
        counts, ends = (self.answers[column].to_numpy(dtype=np.int64) for column in ("tokens", "end"))
        fits = [v.shape == (n,) and v.dtype.kind in kinds and np.isfinite(v).all() and n > e and signed(v).all()
                for v, n, e in zip(values, counts, ends, strict=True)]  # fmt: skip
        problem = f"{name} must be {what}, one for each of its tokens, of which one or more are the answer's"
        _refuse("token-statistics-wrong", self.answers, ~np.array(fits), self.where, problem)
        return [v[: n - e] for v, n, e in zip(values, counts, ends, strict=True)]

    def optional(self, name: str, reason: str, *, high: float = np.inf) -> np.ndarray:
        """A column of 0 to `high`; Absent where no row has it."""
        if self.answers[name].isna().all():
            raise Absent(reason)
        values = pd.to_numeric(self.answers[name], errors="coerce").to_numpy(dtype=np.float64)
        fits = np.isfinite(values) & (values >= 0) & (values <= high)
        problem = (
            f"{name} must be finite, {'0 or more' if high == np.inf else f'0 to {high:g}'}, or absent from every row"
        )
        _refuse("number-out-of-range", self.answers, ~fits, self.where, problem)
        return values


_COMPUTE: Mapping[str, Callable[[_Rows], ArrayLike | pd.DataFrame]] = {
    "answer_loss": lambda rows: rows.loss("answer"),
    "paraphrase_loss": lambda rows: rows.loss("paraphrase"),
    "wrong_loss": _Rows.wrong_losses,
    "answer_probability": lambda rows: probability(rows.loss("answer")),
    "paraphrase_probability": lambda rows: probability(rows.loss("paraphrase")),
    "wrong_probability": lambda rows: np.exp(-rows.wrong_losses()),
    **{kind: lambda rows, kind=kind: rows.rouge[kind] for kind in KINDS},
    "exact_match": lambda rows: exact_match(rows.texts(), rows.generations()),
    "exact_memorization": lambda rows: exact_memorization(rows.tokens("hit")),
    "extraction_strength": lambda rows: extraction_strength(rows.tokens("hit")),
    "attack_loss": lambda rows: rows.loss("answer"),
    "attack_zlib": lambda rows: zlib_ratio(rows.loss("answer"), rows.texts()),
    "attack_min_k": lambda rows: min_k(rows.tokens("logp")),
    "attack_min_k_plus_plus": lambda rows: min_k_plus_plus(*map(rows.tokens, ("logp", "mu", "sigma"))),
    "attack_gradnorm": lambda rows: rows.optional(
        "gradient_norm", "no gradient norms were taken: the benchmark's key gradient_norms"
    ),
    "clean": lambda rows: rows.optional(
        "clean", "the fluency classifier is in none of the places that the benchmark's key fluency names", high=1
    ),
    "repetition": lambda rows: repetition(rows.generations()),
    "length": lambda rows: length(rows.generations()),
}


def _check_columns(samples: pd.DataFrame, where: str) -> None:
    missing = [name for name in REQUIRED if name not in samples.columns]
    if missing:
        raise BaldroError("column-missing", f"{where}: no column {', '.join(missing)}; needs: {', '.join(REQUIRED)}")
    if samples.empty:
        raise BaldroError("no-rows", f"{where}: no rows; needs one per section, index and candidate")
    if not pd.api.types.is_integer_dtype(samples["index"]) or samples["index"].isna().any():
        raise BaldroError("index-not-integers", f"{where}: index is {samples['index'].dtype}; needs integers")


def _check_rows(samples: pd.DataFrame, asked: Mapping[str, Section], where: str) -> None:
    for name in sorted(set(samples["section"]) - set(asked), key=str):
        raise unknown("section", name, asked, where=where)
    strange = ~samples["candidate"].astype(str).str.fullmatch(CANDIDATE)
    scored = samples["section"].isin([name for name, section in asked.items() if section.likelihood])
    loss = pd.to_numeric(samples["avg_loss"], errors="coerce")
    for code, bad, problem in (
        ("unknown-candidate", strange, "candidate must be answer, paraphrase, wrong_0, wrong_1, ..."),
        ("row-twice", samples.duplicated(list(KEY)), "appears twice; needs one row each"),
        *(("text-missing", ~_is_text(samples[column]), f"has no {column}; needs a text") for column in ASKED),
        ("not-a-count", ~_is_count(samples["tokens"]), "tokens must be a whole number"),
        ("not-a-count", ~_is_count(samples["end"]), "end must be a whole number, of the tokens that end the answer"),
        ("number-out-of-range", scored & ~(loss.abs().lt(np.inf) & (loss >= -ROUNDING)), "avg_loss must be finite and 0 or more"),
    ):  # fmt: skip
        _refuse(code, samples, bad, where, problem)


def _is_text(column: pd.Series) -> pd.Series:
    return column.map(lambda value: isinstance(value, str)).astype(bool)


def _is_count(column: pd.Series) -> pd.Series:
    numbers = pd.to_numeric(column, errors="coerce")
    return (numbers.ge(0) & numbers.mod(1).eq(0)).fillna(False).astype(bool)


def _refuse(code: str, rows: pd.DataFrame, bad: pd.Series | np.ndarray, where: str, problem: str) -> None:
    """Raise BaldroError for the first row that is bad."""
    bad = np.asarray(bad)
    if bad.any():
        raise BaldroError(code, f"{where}: {place(*rows.iloc[int(bad.argmax())][list(KEY)])}: {problem}")
