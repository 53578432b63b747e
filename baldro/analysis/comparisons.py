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

from baldro.analysis.frame import hyperparameter_names, is_method, values_of
from baldro.analysis.labels import method_label
from baldro.analysis.paired import MOST, can_test, draws_for, paired_test, too_many
from baldro.analysis.samples import Samples
from baldro.analysis.selection import points, select, varying
from baldro.analysis.significance import ALPHA, BETTER, NO_WIDTH, ONE_SEED, WORSE, Difference, adjusted, direction
from baldro.metrics import shown
from baldro.metrics.metric import COMPARISON
from baldro.stats import PairedTest, paired_difference

NOTHING = "no difference shown"
UNTESTED = "not tested"


@dataclass(frozen=True, kw_only=True)
class Comparison(Difference):
    """A robust variant minus base, in one metric, over the seeds that both have."""

    test: PairedTest | None = None
    """Robust against base, over samples; None where the metric has no values per sample, or for the reason `untested`."""
    untested: str | None = None
    """Why it was not tested though there are values per sample, *512 comparisons need more than 9,999 relabellings*."""

    @property
    def family(self) -> tuple[str, str, str]:
        """Comparisons that share it are corrected for each other."""
        return self.benchmark, self.model, self.metric

    @property
    def over_seeds(self) -> str:
        """better, worse, *no difference shown*, or why no verdict can be given."""
        d = self.difference
        if d is None:
            return "no base run to pair with"
        if d.low is None:
            return ONE_SEED
        if d.low == d.high:
            return NO_WIDTH
        return NOTHING if d.low <= 0 <= d.high else self.direction

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
        ids = [dict(zip(runs["seed"], runs["id"], strict=True)) for runs in (robust, base)]
        for name in names:
            values = [_by_seed(runs, name) for runs in (robust, base)]
            shared = sorted(set(values[0]) & set(values[1]))
            difference = paired_difference(*values, level) if shared else None
            runs = [[samples.get(of_seed[seed]) for seed in shared] for of_seed in ids]
            found.append(Comparison(**who, metric=name, difference=difference))
            sides.append((*runs, retain))
    tested = _tested(found, sides)
    return adjusted(tested, [c.test and c.test.p for c in tested], [c.family for c in tested])


def differences_table(comparisons: list[Comparison]) -> pd.DataFrame:
    """All comparisons as numbers, a row each.

    difference, low, high, seeds: over seeds; p_samples, p_holm, effect (Cohen's d_z), samples: over samples, empty and 0 where
    not tested, for which over_samples gives the reason if the metric has values per sample.
    """
    rows = []
    for c in comparisons:
        d, t = c.difference, c.test
        seeds = c.numbers | {"seeds": d.n if d else 0}
        tested = {"p_samples": t and t.p, "p_holm": c.p_holm, "effect": t and t.effect, "samples": t.n if t else 0}
        words = {"over_seeds": c.over_seeds, "over_samples": c.over_samples, "verdict": c.verdict}
        rows.append(c.who | {"metric": c.metric} | seeds | tested | words)
    return pd.DataFrame(rows)


def _pairs(frame: pd.DataFrame, rule: Mapping[str, Any]) -> Iterator[tuple[dict[str, str], pd.DataFrame, pd.DataFrame]]:
    """Every shown point of a robust variant: what it is called, its runs, and those of its base, none if it has none."""
    selected = select(frame, rule)
    rows = selected.frame[(selected.frame["status"] == "ok") & is_method(selected.frame)]
    whole = dict(iter(frame[is_method(frame)].groupby(["benchmark", "model", "objective"], sort=False)))
    cells = ["benchmark", "model", "split", "objective"]
    for key, cell in rows.groupby(cells, sort=False):
        benchmark, model, _, objective = key
        fields, names = varying(whole[benchmark, model, objective]), hyperparameter_names(cell)
        found = [
            (runs, values_of(runs.iloc[0], names))
            for _, runs in cell.groupby(["variant", points(cell, names)], sort=False)
        ]
        bases = [(runs, values) for runs, values in found if runs["variant"].iloc[0] == "base"]
        for runs, values in found:
            if (variant := runs["variant"].iloc[0]) == "base":
                continue
            label = method_label(objective, variant, {name: values[name] for name in fields})
            own = [base for base, other in bases if not selected.by_point or _agree(other, values)]
            who = dict(zip(cells, key, strict=True)) | {"variant": variant, "method": label}
            yield who, runs, own[0] if len(own) == 1 else runs.head(0)


def _tested(comparisons: list[Comparison], sides: Sequence[tuple[Any, Any, Any]]) -> list[Comparison]:
    """Each with its test over samples, or with why there is none. sides: robust, base and retain model of each."""
    can = [can_test(c.metric, *side) for c, side in zip(comparisons, sides, strict=True)]
    among = Counter(c.family for c, testable in zip(comparisons, can, strict=True) if testable)
    tested = []
    for c, side, testable in zip(comparisons, sides, can, strict=True):
        count = among[c.family]
        if testable and too_many(count):
            c = replace(c, untested=f"{count:,} comparisons need more than {MOST:,} relabellings")
        elif testable:
            c = replace(c, test=paired_test(c.metric, *side, draws=draws_for(count)))
        tested.append(c)
    return tested


def _retains(frame: pd.DataFrame, samples: Mapping[str, Samples]) -> dict[tuple[str, str, str], Samples]:
    """(benchmark, model, split) -> values per sample of the retain model."""
    rows = frame[frame["objective"] == "retain"].to_dict("records")
    return {(r["benchmark"], r["model"], r["split"]): samples[r["id"]] for r in rows if r["id"] in samples}


def _agree(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    return all(a[name] == b[name] for name in a if a[name] is not None and b[name] is not None)


def _by_seed(rows: pd.DataFrame, name: str) -> dict[int, float]:
    """seed -> value, where there is one."""
    return {seed: value for seed, value in zip(rows["seed"], rows[name], strict=True) if not pd.isna(value)}
