"""Metrics that a kind of benchmark brings: what `OwnMetric` and `Score` declare, with definitions and intervals."""

from functools import partial

import numpy as np

from baldro.benchmarks import KINDS, OwnMetric
from baldro.benchmarks.definition import Score
from baldro.errors import unknown
from baldro.metrics.definitions import mean_value
from baldro.metrics.evidence import Evidence
from baldro.metrics.intervals import Ends, of_auc, of_mean, of_utility
from baldro.metrics.membership import CHANCE
from baldro.metrics.metric import Metric, Paired, Value, find, register
from baldro.metrics.utility import harmonic_mean


def _values(names: tuple[str, ...], model: Evidence, retain: Evidence | None) -> list[Value]:
    return [find(name).define(model, retain) for name in names]


def mean(names: tuple[str, ...], model: Evidence, retain: Evidence | None) -> Value:
    """Mean of some metrics."""
    return Value(value=float(np.mean([each.value for each in _values(names, model, retain)])))


def harmonic(names: tuple[str, ...], model: Evidence, retain: Evidence | None) -> Value:
    """Harmonic mean of some means; x counts as 1 - x where less is better."""
    values = [each.per_sample.to_numpy() for each in _values(names, model, retain)]
    parts = tuple(
        (1 - each if find(name).better == "down" else each)[None] for name, each in zip(names, values, strict=True)
    )
    return Value(value=harmonic_mean([part.mean() for part in parts]), parts=parts)


def from_chance(names: tuple[str, ...], model: Evidence, retain: Evidence | None) -> Value:
    """1 - 2 |AUC - 0.5|, of one attack: 1 where members cannot be told, 0 where all are, by a low score or a high one."""
    (attack,) = _values(names, model, retain)
    return Value(value=_folded(attack.value), parts=attack.parts)


def of_folded(metric: Metric, value: Value, level: float) -> Ends:
    """All scores that the areas in the AUC's interval come to."""
    ends = of_auc(metric, value, level)
    return ends and (min(map(_folded, ends)), 1.0 if ends[0] <= CHANCE <= ends[1] else max(map(_folded, ends)))


def _folded(area: float) -> float:
    return 1 - 2 * abs(area - CHANCE)


SCORES = {
    "mean": (mean, None),
    "harmonic mean": (harmonic, of_utility),
    "distance from chance": (from_chance, of_folded),
}
"""How a score is made of other metrics -> its definition, behind their names, and its interval."""


def _made(own: OwnMetric) -> Metric:
    if isinstance(own.values, Score):
        if own.values.how not in SCORES:
            raise unknown("sort of score", own.values.how, SCORES, where=f"metric {own.name}")
        define, interval = SCORES[own.values.how]
        told = dict(define=partial(define, own.values.of), interval=interval)
    else:
        paired = Paired(values=((own.name,),))
        told = dict(define=lambda model, _retain: mean_value(own.values(model)), interval=of_mean, paired=paired)
    return Metric(
        name=own.name, label=own.label, short=own.short, better=own.better, low=own.low, high=own.high, unit=own.unit,
        source=own.source, shown=own.shown, **told,
    )  # fmt: skip


register(*(_made(own) for kind in KINDS.values() for own in kind.own_metrics))
