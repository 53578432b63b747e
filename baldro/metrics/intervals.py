"""Confidence intervals over samples: would other rows of the same kind have said the same of these weights?

Each function is (metric, its value, level) -> ends, or None where there are none; a metric names its own.
"""

import math

from baldro.metrics.membership import privleak
from baldro.metrics.metric import Metric, Value, find
from baldro.stats import bootstrap_auc, bootstrap_harmonic, bootstrap_ks, bootstrap_leak, bootstrap_mean
from baldro.stats.intervals import Interval

SEED = 0
Ends = tuple[float, float] | None


def intervals(values: dict[str, Value], *, level: float = 0.95) -> dict[str, tuple[float, float]]:
    """Metric -> ends of its interval over samples; a p-value has none, since D beside it has one."""
    found = {}
    for name, value in values.items():
        metric = find(name)
        ends = metric.interval(metric, value, level) if metric.interval else None
        if ends is not None:
            found[name] = ends
    return found


def of_mean(metric: Metric, value: Value, level: float) -> Ends:
    """Of a mean over samples."""
    within = (metric.low, metric.high) if math.isfinite(metric.high) else None
    return ends_of(bootstrap_mean(value.per_sample, seed=SEED, level=level, within=within))


def of_distance(_metric: Metric, value: Value, level: float) -> Ends:
    """Of a KS distance; the retain model's rows are resampled together with the model's."""
    return ends_of(bootstrap_ks(*value.parts, seed=SEED, level=level)) if value.parts else None


def of_auc(_metric: Metric, value: Value, level: float) -> Ends:
    """Of an area under the ROC curve."""
    return ends_of(bootstrap_auc(*value.parts, seed=SEED, level=level))


def of_leak(_metric: Metric, value: Value, level: float) -> Ends:
    """Of PrivLeak: against the retain model's rows, resampled together; or against chance, where it falls as the area grows."""
    if value.parts[0].ndim == 2:
        ends = ends_of(bootstrap_leak(*value.parts, seed=SEED, level=level))
        return ends and (100 * ends[0], 100 * ends[1])
    ends = ends_of(bootstrap_auc(*value.parts, seed=SEED, level=level))
    return ends and (privleak(ends[1]), privleak(ends[0]))


def of_utility(_metric: Metric, value: Value, level: float) -> Ends:
    """Of a harmonic mean of means."""
    return ends_of(bootstrap_harmonic(value.parts, seed=SEED, level=level))


def ends_of(interval: Interval) -> Ends:
    """The ends of an interval, or None where it has none."""
    return None if interval.low is None else (interval.low, interval.high)
