"""Definitions of the metrics: small functions of the model's evidence and the retain model's that return a `Value`.

What each number means is in `catalogue`. A definition raises `Absent`, through the evidence, where a source lacks what it needs.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from baldro.metrics.evidence import NO_RETAIN, Absent, Evidence, check_as_many_wrong, check_same_rows
from baldro.metrics.membership import CHANCE, auc, privleak
from baldro.metrics.metric import Value, find
from baldro.metrics.probability import normalised_probability
from baldro.metrics.truth_ratio import closer_to_one, true_better, truth_ratio
from baldro.metrics.utility import model_utility

RAW_RATIOS = "forget_truth_ratio_raw"
"""Per-sample truth ratios before they are folded at 1: what forget quality compares."""


@dataclass(frozen=True, kw_only=True)
class Results:
    """What evidence says."""

    values: dict[str, Value]
    """By metric."""
    absent: dict[str, str]
    """Metric -> why there is no value."""

    def per_sample(self) -> pd.DataFrame:
        """All per-sample values as one table: metric, index, value."""
        series: dict[str, pd.Series] = {}
        for name, value in self.values.items():
            if value.per_sample is not None:
                series.setdefault(find(name).samples or name, value.per_sample)
        parts = [pd.DataFrame({"metric": name, "index": s.index, "value": s.to_numpy()}) for name, s in series.items()]
        empty = pd.DataFrame(
            {"metric": pd.Series(dtype=str), "index": pd.Series(dtype=int), "value": pd.Series(dtype=float)}
        )
        return pd.concat(parts, ignore_index=True) if parts else empty


def ratios(evidence: Evidence, section: str) -> pd.Series:
    """Truth ratio of each sample of a section, of the paraphrased answer where the section has paraphrases.

    From the losses; of a log that holds truth ratios alone, as it holds them.
    """
    try:
        correct = evidence.column(section, "paraphrase_loss" if evidence.section(section).paraphrase else "answer_loss")
        wrong = evidence.column(section, "wrong_loss")
    except Absent as lacking:
        try:
            return evidence.column(section, "truth_ratio")
        except Absent:
            raise lacking from None
    both = correct.index[correct.index.isin(wrong.index)]
    return pd.Series(truth_ratio(correct[both], wrong.loc[both]), index=both)


def probabilities(evidence: Evidence, section: str) -> pd.Series:
    """Probability of each answer, among its options where the section has options."""
    answer = evidence.column(section, "answer_probability")
    if not evidence.section(section).options:
        return answer
    wrong = evidence.column(section, "wrong_probability")
    both = answer.index[answer.index.isin(wrong.index)]
    return pd.Series(normalised_probability(answer[both], wrong.loc[both]), index=both)


def mean_of(section: str, column: str, model: Evidence, _retain: Evidence | None) -> Value:
    """Mean of a column as it stands."""
    return mean_value(model.column(section, column))


def mean_probability(section: str, model: Evidence, _retain: Evidence | None) -> Value:
    """Mean of `probabilities`."""
    return mean_value(probabilities(model, section))


def mean_truth_ratio(section: str, model: Evidence, _retain: Evidence | None) -> Value:
    """Mean of `ratios`: folded at 1 on what should be forgotten, 1 - r elsewhere."""
    aggregate = closer_to_one if section == "forget" else true_better
    return mean_value(_each(aggregate, ratios(model, section)))


def memorised(column: str, model: Evidence, _retain: Evidence | None) -> Value:
    """Mean of a column of the answers to be forgotten: those of the section that the kind of benchmark names."""
    return mean_value(model.column(model.benchmark.memorised, column))


def against_retain(statistic: Callable[..., float], model: Evidence, retain: Evidence | None) -> Value:
    """A two-sample statistic of both models' truth ratios on the forget set."""
    if retain is None:
        raise Absent(NO_RETAIN)
    check_same_rows(model, retain, "forget")
    check_as_many_wrong(model, retain)
    ours, theirs = ratios(model, "forget"), ratios(retain, "forget")
    same = ours.index.isin(theirs.index).all() and len(ours) == len(
        theirs
    )  # else nulls left out a sample of one of them
    parts = (ours.to_numpy(), theirs[ours.index].to_numpy()) if same else ()
    return Value(value=statistic(ours, theirs), per_sample=ours, parts=parts)


def utility(model: Evidence, _retain: Evidence | None) -> Value:
    """Harmonic mean of nine means, three on each section that should stay known."""
    means, parts = {}, []
    for section in ("retain", "real_authors", "world_facts"):
        columns = {
            "probability": probabilities(model, section),
            "rouge": model.column(section, "rougeL_recall"),
            "truth_ratio": _each(true_better, ratios(model, section)),
        }
        means |= {f"{section}_{name}": float(np.mean(values.to_numpy())) for name, values in columns.items()}
        parts.append(pd.DataFrame(columns).dropna().to_numpy().T)
    return Value(value=model_utility(means), parts=tuple(parts))


def membership(attack: str, model: Evidence, retain: Evidence | None) -> Value:
    """AUC of telling the forget set from the holdout by an attack's scores."""
    members, others = (_attack_scores(attack, model, retain, section) for section in ("forget", "holdout"))
    parts = (members.to_numpy(), others.to_numpy())
    return Value(value=auc(*parts), per_sample=members, parts=parts)


def leak(model: Evidence, retain: Evidence | None) -> Value:
    """PrivLeak: the min-k AUC held against the retain model's, or against chance where there is none."""
    ours, reference = membership("min_k", model, retain), CHANCE
    if retain is not None:
        for section in ("forget", "holdout"):
            check_same_rows(model, retain, section)
        theirs = {name: _attack_scores("min_k", retain, None, name) for name in ("forget", "holdout")}
        reference = auc(theirs["forget"], theirs["holdout"])
        own = {name: _attack_scores("min_k", model, retain, name) for name in theirs}
        both = {name: own[name].index[own[name].index.isin(theirs[name].index)] for name in theirs}
        parts = tuple(np.stack([own[name][rows], theirs[name][rows]]) for name, rows in both.items())
    else:
        parts = ours.parts
    return Value(value=privleak(ours.value, reference), per_sample=ours.per_sample, parts=parts)


def _attack_scores(attack: str, model: Evidence, retain: Evidence | None, section: str) -> pd.Series:
    """Reference scores are differences to the retain model's loss, unless the source brings its own."""
    try:
        return model.column(section, f"attack_{attack}")
    except Absent:
        if attack != "reference":
            raise
    if retain is None:
        raise Absent(NO_RETAIN)
    check_same_rows(model, retain, section)
    return model.column(section, "attack_loss") - retain.column(section, "attack_loss")


def _each(function: Callable[[pd.Series], np.ndarray], values: pd.Series) -> pd.Series:
    return pd.Series(function(values), index=values.index)


def mean_value(values: pd.Series) -> Value:
    """The mean of a value per sample."""
    return Value(value=float(np.mean(values.to_numpy())), per_sample=values)
