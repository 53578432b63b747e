"""Evidence -> numbers: each metric's definition has its own file, and `METRICS` is the registry of all of them.

Nothing here needs a model or torch. Evidence is our own (`from_samples`) or a published log (`from_log`). A file that is put into
this folder and calls `register` adds a metric: to metrics.json, the tables and figures that it names, and what compares runs.
"""

from importlib import import_module
from pkgutil import iter_modules

from baldro.errors import BaldroError
from baldro.metrics.catalogue import MAIN_COLUMNS
from baldro.metrics.comparable import check_comparable, check_same_tokens, same_model
from baldro.metrics.definitions import RAW_RATIOS, Results, ratios
from baldro.metrics.evidence import NO_RETAIN, Absent, Evidence
from baldro.metrics.intervals import intervals
from baldro.metrics.logfile import read_log
from baldro.metrics.metric import METRICS, Metric, Paired, Value, find, register, shown
from baldro.metrics.published import aggregates, from_log
from baldro.metrics.samples import ROUNDING, from_samples

__all__ = [
    "MAIN_COLUMNS",
    "METRICS",
    "RAW_RATIOS",
    "Absent",
    "Evidence",
    "Metric",
    "Paired",
    "Results",
    "Value",
    "aggregates",
    "check_comparable",
    "evaluate",
    "find",
    "from_log",
    "from_samples",
    "intervals",
    "ratios",
    "read_log",
    "register",
    "same_model",
    "shown",
]

for _module in sorted(module.name for module in iter_modules(__path__)):
    import_module(f"{__name__}.{_module}")  # after the catalogue, which comes first in the order of metrics


def evaluate(model: Evidence, retain: Evidence | None, *, alone: bool = False) -> Results:
    """Every metric of the evidence's benchmark.

    retain: the evidence of the model that never saw the forget split, on the same rows; a retain model is compared with
    itself (quality 1, D 0, PrivLeak 0; whether two pieces of evidence are one model's says `same_model`). None: what compares
    with a retain model is absent, or, where the benchmark's kind makes one compulsory, refused. `alone`: it is renounced, so
    forget quality is absent and PrivLeak is held against chance, as published logs of retain models have it. Raises
    BaldroError on anything missing, repeated, NaN, and on evidence of other rows.
    """
    if retain is None and not alone and model.benchmark.retain_compulsory:
        raise BaldroError(
            "no-retain-evidence",
            f"{model.where}: no evidence of the retain model, which forget quality, PrivLeak and the reference attack compare "
            "with; score the retain model of the same split and give its file, or renounce these metrics (--alone)",
        )
    values, absent = {}, {}
    metrics = [metric for metric in METRICS.values() if metric.of(model.kind)]
    for metric in [*metrics, *map(find, model.scores)]:
        name = metric.name
        try:
            if (
                metric.retain_itself is not None and retain is None and not alone
            ):  # not against chance unless that is asked for
                raise Absent(NO_RETAIN)
            values[name] = metric.define(model, None if alone else retain)
        except Absent as reason:
            absent[name] = str(reason)
            continue
        if not metric.low - ROUNDING <= (value := values[name].value) <= metric.high + ROUNDING:
            raise BaldroError(
                "metric-out-of-range", f"{model.where}: {name} is {value:g}; allowed: {metric.low:g} to {metric.high:g}"
            )
    if retain is not None and not alone:
        check_same_tokens(model, retain)
    return Results(values=values, absent=absent)
