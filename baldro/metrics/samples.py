"""Our own evidence (samples.parquet, a row per section x index x candidate) as columns; every gap in it is an error here."""

from collections.abc import Callable, Mapping
from functools import cache, cached_property

import numpy as np
import pandas as pd

from baldro.benchmarks import Section, kind_of
from baldro.errors import BaldroError, unknown
from baldro.metrics.collapse import length, repetition
from baldro.metrics.evidence import Absent, Evidence, place
from baldro.metrics.membership import min_k, min_k_plus_plus, zlib_ratio
from baldro.metrics.memorization import exact_memorization, extraction_strength
from baldro.metrics.probability import probability
from baldro.metrics.rouge import KINDS, rouge
from baldro.records.evidence import ASKED, KEY, REQUIRED

CANDIDATE = r"answer|paraphrase|wrong_(?:0|[1-9][0-9]*)"
ROUNDING = 1e-6  # how far below 0 an average loss may fall by rounding alone
SIGNS = {"logp": lambda v: (v <= 1e-3).all(), "sigma": lambda v: (v >= 0).all()}  # 1e-3: rounding in single precision


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
        raise BaldroError(f"{where}: no section {section!r}; needs: {', '.join(asked)}")

    def compute(section: str, name: str) -> pd.Series | pd.DataFrame:
        if name not in _COMPUTE:
            raise Absent(f"our evidence has no column {name}")
        return _COMPUTE[name](rows_of(section))

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
            raise BaldroError(f"{where}: no {place(section.name, min(lost), 'answer')}; every sample needs an answer")
        strange = rows["candidate"].eq("paraphrase") & (not section.paraphrase)
        _refuse(rows, strange, where, "this section has no paraphrases")

    def series(self, values) -> pd.Series:
        return pd.Series(values, index=self.answers["index"].to_numpy(), dtype=np.float64)

    def losses(self, candidates: list[str]) -> pd.DataFrame:
        """(N, candidates) average losses; BaldroError when any cell is missing."""
        table = self.rows.pivot(index="index", columns="candidate", values="avg_loss").astype(np.float64)
        full = table.reindex(columns=candidates)
        if full.isna().to_numpy().any():
            row, column = np.argwhere(full.isna().to_numpy())[0]
            gap = place(self.section, full.index[row], candidates[column])
            raise BaldroError(f"{self.where}: no {gap}; needs: {', '.join(candidates)}")
        return full.clip(lower=0)  # below 0 by rounding alone: see ROUNDING

    def wrong(self) -> list[str]:
        count = max(1, sum(name.startswith("wrong_") for name in self.rows["candidate"].unique()))
        return [f"wrong_{j}" for j in range(count)]

    @cached_property
    def rouge(self) -> dict[str, np.ndarray]:
        return rouge(self.answers["text"].tolist(), self.generations())

    def generations(self) -> list[str]:
        told = self.answers["generation"].map(lambda value: isinstance(value, str)).astype(bool)
        _refuse(self.answers, ~told, self.where, "has no generation")
        return self.answers["generation"].tolist()

    def tokens(self, name: str) -> list[np.ndarray]:
        """One statistic of each answer token, those that end the answer left out."""
        booleans, signed = name == "hit", SIGNS.get(name, lambda v: True)
        values = [np.asarray(value) for value in self.answers[name]]
        counts, ends = (self.answers[column].to_numpy(dtype=np.int64) for column in ("tokens", "end"))
        fits = [v.shape == (n,) and v.dtype.kind in ("b" if booleans else "fiu") and np.isfinite(v).all() and n > e and signed(v)
                for v, n, e in zip(values, counts, ends, strict=True)]  # fmt: skip
        what = {"hit": "booleans", "logp": "finite numbers, 0 at most", "sigma": "finite numbers, 0 or more"}.get(
            name, "finite numbers"
        )
        problem = f"{name} must be {what}, one for each of its tokens, of which one or more are the answer's"
        _refuse(self.answers, ~np.array(fits), self.where, problem)
        return [v[: n - e] for v, n, e in zip(values, counts, ends, strict=True)]

    def optional(self, name: str, reason: str, *, high: float = np.inf) -> pd.Series:
        """A column of 0 to `high`; Absent where no row has it."""
        if self.answers[name].isna().all():
            raise Absent(reason)
        values = pd.to_numeric(self.answers[name], errors="coerce").to_numpy(dtype=np.float64)
        fits = np.isfinite(values) & (values >= 0) & (values <= high)
        least = "0 or more" if high == np.inf else f"0 to {high:g}"
        _refuse(self.answers, ~fits, self.where, f"{name} must be finite, {least}, or absent from every row")
        return self.series(values)


def _wrong_loss(rows: _Rows) -> pd.DataFrame:
    return rows.losses(rows.wrong())


def _gradnorm(rows: _Rows) -> pd.Series:
    return rows.optional("gradient_norm", "no gradient norms were taken: the benchmark's key gradient_norms")


def _clean(rows: _Rows) -> pd.Series:
    return rows.optional(
        "clean", "the fluency classifier is in none of the places that the benchmark's key fluency names", high=1
    )


def _min_k_plus_plus(rows: _Rows) -> pd.Series:
    return rows.series(min_k_plus_plus(rows.tokens("logp"), rows.tokens("mu"), rows.tokens("sigma")))


def _of_loss(candidate: str) -> Callable[[_Rows], pd.Series]:
    return lambda rows: rows.losses([candidate])[candidate]


def _of_probability(candidate: str) -> Callable[[_Rows], pd.Series]:
    return lambda rows: rows.series(probability(_of_loss(candidate)(rows)))


def _rouge(kind: str) -> Callable[[_Rows], pd.Series]:
    return lambda rows: rows.series(rows.rouge[kind])


_COMPUTE: Mapping[str, Callable[[_Rows], pd.Series | pd.DataFrame]] = {
    "answer_loss": _of_loss("answer"),
    "paraphrase_loss": _of_loss("paraphrase"),
    "wrong_loss": _wrong_loss,
    "answer_probability": _of_probability("answer"),
    "paraphrase_probability": _of_probability("paraphrase"),
    "wrong_probability": lambda rows: np.exp(-_wrong_loss(rows)),
    **{kind: _rouge(kind) for kind in KINDS},
    "exact_memorization": lambda rows: rows.series(exact_memorization(rows.tokens("hit"))),
    "extraction_strength": lambda rows: rows.series(extraction_strength(rows.tokens("hit"))),
    "attack_loss": _of_loss("answer"),
    "attack_zlib": lambda rows: rows.series(zlib_ratio(_of_loss("answer")(rows), rows.answers["text"].tolist())),
    "attack_min_k": lambda rows: rows.series(min_k(rows.tokens("logp"))),
    "attack_min_k_plus_plus": _min_k_plus_plus,
    "attack_gradnorm": _gradnorm,
    "clean": _clean,
    "repetition": lambda rows: rows.series(repetition(rows.generations())),
    "length": lambda rows: rows.series(length(rows.generations())),
}


def _check_columns(samples: pd.DataFrame, where: str) -> None:
    missing = [name for name in REQUIRED if name not in samples.columns]
    if missing:
        raise BaldroError(f"{where}: no column {', '.join(missing)}; needs: {', '.join(REQUIRED)}")
    if samples.empty:
        raise BaldroError(f"{where}: no rows; needs one per section, index and candidate")
    if not pd.api.types.is_integer_dtype(samples["index"]) or samples["index"].isna().any():
        raise BaldroError(f"{where}: column index holds {samples['index'].dtype}; needs integers, none missing")


def _check_rows(samples: pd.DataFrame, asked: Mapping[str, Section], where: str) -> None:
    for name in sorted(set(samples["section"]) - set(asked), key=str):
        raise unknown("section", name, asked, where=where)
    strange = ~samples["candidate"].astype(str).str.fullmatch(CANDIDATE)
    _refuse(samples, strange, where, "candidate must be answer, paraphrase, wrong_0, wrong_1, ...")
    _refuse(samples, samples.duplicated(list(KEY)), where, "appears twice; needs one row each")
    for column in ASKED:
        told = samples[column].map(lambda value: isinstance(value, str)).astype(bool)
        _refuse(samples, ~told, where, f"has no {column}; needs a text")
    counts = pd.to_numeric(samples["tokens"], errors="coerce")
    _refuse(
        samples,
        ~(counts.ge(0) & counts.mod(1).eq(0)).fillna(False).astype(bool),
        where,
        "tokens must be a whole number",
    )
    ends = pd.to_numeric(samples["end"], errors="coerce")
    whole = (ends.ge(0) & ends.mod(1).eq(0)).fillna(False).astype(bool)
    _refuse(samples, ~whole, where, "end must be a whole number, of the tokens that end the answer")
    scored = samples["section"].map({name: section.likelihood for name, section in asked.items()}).astype(bool)
    loss = pd.to_numeric(samples["avg_loss"], errors="coerce")
    _refuse(
        samples, scored & ~(np.isfinite(loss) & (loss >= -ROUNDING)), where, "avg_loss must be finite and 0 or more"
    )


def _refuse(rows: pd.DataFrame, bad: pd.Series | np.ndarray, where: str, problem: str) -> None:
    bad = np.asarray(bad)
    if bad.any():
        raise BaldroError(f"{where}: {place(*rows.iloc[int(bad.argmax())][list(KEY)])}: {problem}")
