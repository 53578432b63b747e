"""Robust variants held against their base, over seeds and over samples: two questions, two answers.

Over seeds: would another training say the same (paired differences of the runs' metrics, Student t)? Over samples:
would other rows say the same of these very models (a permutation test on the values per sample, Holm's correction over
all comparisons of a benchmark and model in a metric)? Where these are so many that no p could be small enough after the
correction, none of them is tested, and each says so.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from baldro.analysis.frame import hyperparameter_names, is_method, places, values_of
from baldro.analysis.labels import method_label, objective_rank, variant_rank
from baldro.analysis.paired import MOST, can_test, draws_for, paired_test, too_many
from baldro.analysis.samples import Samples
from baldro.analysis.selection import point, select, varying
from baldro.analysis.significance import ALPHA, BETTER, WORSE, corrected, direction
from baldro.metrics import shown
from baldro.metrics.metric import COMPARISON
from baldro.stats import Interval, PairedTest, paired_difference

NOTHING = "no difference shown"
UNTESTED = "not tested"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A robust variant minus base, in one metric, over the seeds that both have."""

    benchmark: str
    model: str
    split: str
    objective: str
    variant: str
    method: str
    """The robust method with the settings that tell it apart."""
    metric: str
    difference: Interval | None
    """Robust minus base, over seeds; None where there is nothing to compare with."""
    test: PairedTest | None = None
    """Robust against base, over samples; None where the metric has no values per sample, or for the reason `untested`."""
    untested: str | None = None
    """Why it was not tested though there are values per sample, *512 comparisons need more than 9,999 relabellings*."""
    p_holm: float | None = None
    """The test's p, adjusted for the other comparisons."""

    @property
    def over_seeds(self) -> str:
        """better, worse, *no difference shown*, or why no verdict can be given."""
        if self.difference is None:
            return "no base run to pair with"
        if self.difference.low is None:
            return "one seed: no interval can be given"
        if self.difference.low == self.difference.high:
            return "every seed alike: the interval has no width"
        if self.difference.low <= 0 <= self.difference.high:
            return NOTHING
        return direction(self.metric, self.difference.mean)

    @property
    def tested(self) -> bool:
        """Whether there is an answer over samples."""
        return self.test is not None and self.p_holm is not None

    @property
    def over_samples(self) -> str:
        """As `over_seeds`, by the adjusted p; *not tested* where there is none, with the reason `untested`."""
        if not self.tested:
            return f"{UNTESTED}: {self.untested}" if self.untested else UNTESTED
        return direction(self.metric, self.test.difference) if self.p_holm < ALPHA else NOTHING

    @property
    def verdict(self) -> str:
        """Both answers in a few words."""
        seeds, samples = self.over_seeds, self.over_samples
        if samples == UNTESTED:
            return seeds
        if seeds == samples:
            return f"{seeds} over seeds and over samples"
        return f"over seeds {seeds}; over samples {samples}"

    @property
    def settled(self) -> str | None:
        """better or worse where the seeds say so and the samples, if tested, say the same; else None."""
        agreed = not self.tested or self.over_samples == self.over_seeds
        return self.over_seeds if agreed and self.over_seeds in (BETTER, WORSE) else None


@dataclass(frozen=True, kw_only=True)
class Side:
    """A point that another is held against: its settings and its runs, one a seed."""

    values: Mapping[str, Any]
    runs: pd.DataFrame


def compare(
    frame: pd.DataFrame, rule: Mapping[str, Any], samples: Mapping[str, Samples] | None = None, *, level: float = 0.95
) -> list[Comparison]:
    """Every shown point of a robust variant against base, paired over seeds, and over samples where `samples` has both.

    Its base is the one with equal settings (as far as both have them), or the one that the rule chose. samples: values
    per sample by run id.
    """
    names, samples = shown(COMPARISON, frame.columns), samples or {}
    retains = _retains(frame, samples)
    found, sides = [], []
    for who, robust, base in _pairs(frame, rule):
        retain = retains.get((who["benchmark"], who["model"], who["split"]))
        for name in names:
            own, other = _by_seed(robust, name), _by_seed(base, name)
            shared = sorted(set(own) & set(other))
            difference = paired_difference(_values(own), _values(other), level) if shared else None
            runs = [[samples.get(side[seed][1]) for seed in shared] for side in (own, other)]
            found.append(Comparison(**who, metric=name, difference=difference))
            sides.append((*runs, retain))
    tested = _tested(found, sides)
    ranked = sorted(tested, key=lambda c: (c.benchmark, c.model, objective_rank(c.objective), variant_rank(c.variant)))
    corrected_p = corrected([c.test and c.test.p for c in ranked], [_family(c) for c in ranked])
    return [replace(c, p_holm=p) for c, p in zip(ranked, corrected_p, strict=True)]


def differences_table(comparisons: list[Comparison]) -> pd.DataFrame:
    """All comparisons as numbers, a row each.

    difference, low, high, seeds: over seeds; p_samples, p_holm, effect (Cohen's d_z), samples: over samples, empty and 0 where
    not tested, for which over_samples gives the reason if the metric has values per sample.
    """
    rows = []
    for c in comparisons:
        d, t = c.difference, c.test
        names = {k: getattr(c, k) for k in ("benchmark", "model", "split", "method", "objective", "variant", "metric")}
        seeds = {"difference": d and d.mean, "low": d and d.low, "high": d and d.high, "seeds": d.n if d else 0}
        tested = {"p_samples": t and t.p, "p_holm": c.p_holm, "effect": t and t.effect, "samples": t.n if t else 0}
        words = {"over_seeds": c.over_seeds, "over_samples": c.over_samples, "verdict": c.verdict}
        rows.append(names | seeds | tested | words)
    return pd.DataFrame(rows)


def _pairs(
    frame: pd.DataFrame, rule: Mapping[str, Any]
) -> Iterator[tuple[dict[str, str], pd.DataFrame, pd.DataFrame | None]]:
    """Every shown point of a robust variant: what it is called, its runs, and those of its base if it has one."""
    selected = select(frame, rule)
    rows = selected.frame[(selected.frame["status"] == "ok") & is_method(selected.frame)]
    whole = dict(iter(frame[is_method(frame)].groupby(["benchmark", "model", "objective"], sort=False)))
    cells = ["benchmark", "model", "split", "objective"]
    for key, cell in rows.groupby(cells, sort=False):
        benchmark, model, _, objective = key
        fields, names = varying(whole[benchmark, model, objective]), hyperparameter_names(cell)
        bases = [_side(runs, names) for _, runs in _points(cell[cell["variant"] == "base"])]
        for variant, runs in _points(cell[cell["variant"] != "base"]):
            robust = _side(runs, names)
            label = method_label(objective, variant, {name: robust.values[name] for name in fields})
            who = dict(zip(cells, key, strict=True)) | {"variant": variant, "method": label}
            yield who, runs, _base(bases, robust, selected.by_point)


def _tested(comparisons: list[Comparison], sides: Sequence[tuple[Any, Any, Any]]) -> list[Comparison]:
    """Each with its test over samples, or with why there is none. sides: robust, base and retain model of each."""
    can = [can_test(c.metric, *side) for c, side in zip(comparisons, sides, strict=True)]
    among = Counter(_family(c) for c, testable in zip(comparisons, can, strict=True) if testable)
    tested = []
    for c, side, testable in zip(comparisons, sides, can, strict=True):
        count = among[_family(c)]
        if testable and too_many(count):
            c = replace(c, untested=f"{count:,} comparisons need more than {MOST:,} relabellings")
        elif testable:
            c = replace(c, test=paired_test(c.metric, *side, draws=draws_for(count)))
        tested.append(c)
    return tested


def _family(c: Comparison) -> tuple[str, str, str]:
    """Comparisons that share it are corrected for each other."""
    return c.benchmark, c.model, c.metric


def _retains(frame: pd.DataFrame, samples: Mapping[str, Samples]) -> dict[tuple[str, str, str], Samples]:
    """(benchmark, model, split) -> values per sample of the retain model."""
    rows = frame[frame["objective"] == "retain"].to_dict("records")
    return {(r["benchmark"], r["model"], r["split"]): samples[r["id"]] for r in rows if r["id"] in samples}


def _points(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """(variant, runs) of every point, in the frame's order."""
    names = hyperparameter_names(rows)
    for (variant, _), at in places((row["variant"], point(row, names)) for row in rows.to_dict("records")).items():
        yield variant, rows.iloc[at]


def _side(runs: pd.DataFrame, names: list[str]) -> Side:
    return Side(values=values_of(runs.iloc[0].to_dict(), names), runs=runs)


def _base(bases: Sequence[Side], robust: Side, by_point: bool) -> pd.DataFrame | None:
    found = [base.runs for base in bases if not by_point or _agree(base.values, robust.values)]
    return found[0] if len(found) == 1 else None


def _agree(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    return all(a[name] == b[name] for name in a if a[name] is not None and b[name] is not None)


def _by_seed(rows: pd.DataFrame | None, name: str) -> dict[int, tuple[float, str]]:
    """seed -> (value, run), where there is a value."""
    if rows is None:
        return {}
    found = zip(rows["seed"], rows[name], rows["id"], strict=True)
    return {seed: (value, run) for seed, value, run in found if not pd.isna(value)}


def _values(by_seed: Mapping[int, tuple[float, str]]) -> dict[int, float]:
    return {seed: value for seed, (value, _) in by_seed.items()}
