"""Tasks of lm-evaluation-harness as metrics: a benchmark's entry names them, so no file here can list them."""

from baldro.benchmarks.harness import PREFIX
from baldro.metrics.evidence import Absent, Evidence
from baldro.metrics.intervals import SEED, Ends, ends_of
from baldro.metrics.metric import COMPARISON, FAMILIES, MAIN, Metric, Paired, Value
from baldro.stats import bootstrap_mean

PLACE = 90
"""After all others."""


def column(name: str) -> Metric:
    """The metric of a task: the mean over its questions of what the harness gives for each."""
    words = name.removeprefix(PREFIX).replace("_", " ")

    def define(model: Evidence, _retain: Evidence | None) -> Value:
        if name not in model.scores:
            raise Absent("it was not asked: the benchmark's key lm_eval")
        values = model.scores[name]
        return Value(value=float(values.to_numpy().mean()), per_sample=values)

    return Metric(
        name=name, define=define, label=f"{words} (lm-evaluation-harness)", short=words, better="up",
        low=-float("inf"), high=float("inf"), source="lm-evaluation-harness", interval=_interval,
        paired=Paired(values=((name,),)), shown={MAIN: PLACE, COMPARISON: PLACE},
    )  # fmt: skip


def _interval(_metric: Metric, value: Value, level: float) -> Ends:
    """Of a mean over questions; within 0 and 1 where all of them are, as of accuracies."""
    within = (0.0, 1.0) if value.per_sample.between(0, 1).all() else None
    return ends_of(bootstrap_mean(value.per_sample, seed=SEED, level=level, within=within))


FAMILIES[PREFIX] = column
