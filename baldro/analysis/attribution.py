"""What each crossed factor changes: main effects, their interactions, and all differences at once, over seeds.

A main effect is the mean, over every combination of the other factors, of level minus reference level, seed by seed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

import numpy as np
import pandas as pd

from baldro.analysis.frame import is_method, metric_names, values_of
from baldro.analysis.labels import check_metrics, level_label, method_label
from baldro.analysis.significance import ALPHA, NO_WIDTH, ONE_SEED, Difference, adjusted
from baldro.metrics import shown
from baldro.metrics.metric import EFFECT
from baldro.runs import HYPERPARAMETERS, IDENTITY, Crossing, crossings
from baldro.stats import Effect, effect, total

MOST = 4
"""Metrics of which effects are taken unless the config names others: the first of those with the role EFFECT."""
MAIN, TOTAL, INTERACTION = "main", "total", "interaction"
CHANGES, DOUBTFUL, NOT_SHOWN = "changes", "not after Holm's correction", "not told apart from no change"


@dataclass(frozen=True, kw_only=True)
class Attributed(Difference):
    """One effect on one metric, of one method and split."""

    kind: str
    """main, interaction, or total: every factor at its other level against every factor at its reference."""
    steps: tuple[tuple[str, Any, Any], ...]
    """(factor, level, reference) of each factor that is moved."""
    effect: Effect
    runs: int
    """Of the crossing."""

    @property
    def label(self) -> str:
        """*released sign*; *released sign with token sum* for an interaction; *all of these at once*."""
        if self.kind == TOTAL:
            return "all of these at once"
        return " with ".join(level_label(name, level) for name, level, _ in self.steps)

    @property
    def verdict(self) -> str:
        """What the seeds say of it: CHANGES, DOUBTFUL, NOT_SHOWN, or why nothing can be said."""
        if self.difference is None:
            return "no pair of runs has results"
        if self.difference.low is None:
            return ONE_SEED
        if self.p_holm is None:
            return NO_WIDTH
        if self.p_holm < ALPHA:
            return CHANGES
        return DOUBTFUL if self.effect.p < ALPHA else NOT_SHOWN


def attribute(frame: pd.DataFrame, factors: Sequence[str], metrics: Sequence[str] | None = None) -> list[Attributed]:
    """Every effect of the crossed factors: mains in their order, the total, then the interactions, of each method and split.

    p_holm is adjusted for the other effects of the benchmark, model and metric (interactions among themselves).

    metrics: names, no p-values, whose differences have no t interval (the config says so); by default the first MOST with the role
    EFFECT that the frame has. Errors: of `crossings`; a metric that no run has.
    """
    names = _metrics(frame, metrics)
    methods = frame[is_method(frame)]
    fields = [*IDENTITY, *(name for name in ("parent", *HYPERPARAMETERS) if name in frame.columns), "status", *names]
    found = crossings([values_of(row, fields) for row in methods.to_dict("records")], factors)
    effects = [one for crossing in found for one in _effects(crossing, found, names)]
    families = [(e.benchmark, e.model, e.metric, e.kind == INTERACTION) for e in effects]
    return adjusted(effects, [e.effect.p for e in effects], families)


def attribution_frame(effects: Sequence[Attributed]) -> pd.DataFrame:
    """All effects as numbers, a row each: the difference with its ends, p as it is and adjusted, and the number of runs.

    of: differences behind it (pairs of runs, fours for an interaction) of all seeds; missing: those that lack a result.
    """
    rows = []
    for e in effects:
        moved = {
            key: " x ".join(map(str, own))
            for key, own in zip(("factor", "level", "reference"), zip(*e.steps, strict=True), strict=True)
        }
        ends = e.numbers | {"p": e.effect.p, "p_holm": e.p_holm, "seeds": e.difference.n if e.difference else 0}
        counted = {"of": e.effect.present, "missing": e.effect.missing, "runs": e.runs}
        of = {"kind": e.kind, **moved, "label": e.label, "metric": e.metric}
        rows.append(e.who | of | ends | counted | {"verdict": e.verdict})
    return pd.DataFrame(rows)


def _metrics(frame: pd.DataFrame, metrics: Sequence[str] | None) -> list[str]:
    present = [name for name in metric_names(frame) if frame[name].notna().any()]
    if metrics is None:
        return shown(EFFECT, present)[:MOST]
    if not present:  # nothing has a result: the rows say so
        return list(metrics)
    check_metrics(list(metrics), present, where="attribution")
    return list(metrics)


def _effects(crossing: Crossing, every: Sequence[Crossing], names: Sequence[str]) -> Iterator[Attributed]:
    shared, levels = crossing.shared, crossing.levels
    who = {name: shared[name] for name in IDENTITY}
    who["method"] = method_label(shared["objective"], shared["variant"], _telling(crossing, every))
    who["runs"] = len(crossing.rows)
    for name in names:
        values = _array(crossing, name)
        if np.isnan(values).all() and any(row.get("status") == "ok" for row in crossing.rows.values()):
            continue  # a metric of another benchmark
        for kind, steps in _moves(levels):
            moved = {list(levels).index(factor): levels[factor].index(level) for factor, level, _ in steps}
            found = total(values) if kind == TOTAL else effect(values, moved)
            yield Attributed(**who, kind=kind, steps=steps, metric=name, effect=found, difference=found.difference)


def _moves(levels: Mapping[str, tuple[Any, ...]]) -> Iterator[tuple[str, tuple[tuple[str, Any, Any], ...]]]:
    """(kind, steps) of every effect: of each factor, of all at once where each has two levels, of each pair."""
    yield from ((MAIN, steps) for steps in _steps(levels, 1))
    if len(levels) > 1 and all(len(own) == 2 for own in levels.values()):
        yield TOTAL, tuple((factor, own[1], own[0]) for factor, own in levels.items())
    yield from ((INTERACTION, steps) for steps in _steps(levels, 2))


def _steps(levels: Mapping[str, tuple[Any, ...]], order: int) -> Iterator[tuple[tuple[str, Any, Any], ...]]:
    """Every choice of `order` factors, each with one of its levels and its reference."""
    for factors in combinations(levels, order):
        for chosen in product(*(levels[name][1:] for name in factors)):
            yield tuple((name, level, levels[name][0]) for name, level in zip(factors, chosen, strict=True))


def _array(crossing: Crossing, name: str) -> np.ndarray:
    """(seeds, levels of each factor) values of a metric, NaN where a run has none."""
    axes = (crossing.seeds, *crossing.levels.values())
    found = [crossing.rows[key] for key in product(*axes)]
    values = [row.get(name) if row.get("status") == "ok" else None for row in found]
    return np.array([np.nan if v is None else v for v in values], dtype=float).reshape([len(axis) for axis in axes])


def _telling(crossing: Crossing, every: Sequence[Crossing]) -> dict[str, Any]:
    """Settings in which other crossings of the same objective, benchmark and model differ from this one."""
    alike = ("benchmark", "model", "objective", "variant")
    others = [other.shared for other in every if all(other.shared[name] == crossing.shared[name] for name in alike)]
    names = [name for name in HYPERPARAMETERS if name in crossing.shared and name != "seed"]
    return {name: crossing.shared[name] for name in names if len({shared.get(name) for shared in others}) > 1}
