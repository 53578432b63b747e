"""What each metric says of itself, held against what it gives."""

import math

import numpy as np
import pytest

from baldro.benchmarks import KINDS
from baldro.metrics import METRICS, RAW_RATIOS, evaluate, from_samples, ratios
from baldro.metrics.intervals import of_auc, of_distance, of_leak, of_mean, of_utility
from baldro.metrics.membership import auc, privleak
from baldro.metrics.own import of_folded
from baldro.metrics.utility import harmonic_mean

STATISTICS = {of_mean, of_distance, of_auc, of_utility, of_leak, of_folded, None}
TABLE = {  # better, unit; a change here is a change of what readers are told
    "forget_quality": ("up", ""),
    "forget_quality_d": ("down", ""),
    "model_utility": ("up", ""),
    "exact_memorization": ("down", ""),
    "extraction_strength": ("down", ""),
    "forget_probability": ("down", ""),
    "forget_rouge": ("down", ""),
    "forget_truth_ratio": ("up", ""),
    "retain_probability": ("up", ""),
    "retain_rouge": ("up", ""),
    "world_facts_truth_ratio": ("up", ""),
    "mia_loss": ("", ""),
    "privleak": ("", "%"),
    "fluency": ("up", ""),
    "forget_repetition": ("down", ""),
    "forget_length": ("", "words"),
    "knowmem_forget": ("down", ""),
    "knowmem_retain": ("up", ""),
    "verbmem_forget": ("down", ""),
}


LOSSES = dict.fromkeys(("rwku_mia_forget", "rwku_mia_retain"), "nats per token")
UNITS = {"privleak": "%", **LOSSES}


def test_the_metrics_that_a_kind_names_are_defined():
    for kind in KINDS.values():
        assert set(kind.metrics) <= set(METRICS) and set(kind.columns) <= set(kind.metrics)
    assert set(METRICS) == {name for kind in KINDS.values() for name in kind.metrics}


def test_every_metric_says_what_it_is():
    for name, metric in METRICS.items():
        assert metric.name == name and metric.interval in STATISTICS
        assert metric.p_value == (name == "forget_quality")
        assert (metric.interval is None) == (name in ("forget_quality", "lume_final"))
        assert metric.source, "where it comes from"
        assert metric.unit == UNITS.get(name, "words" if name.endswith("_length") else "")
    for kind in ("tofu", "muse"):
        metrics = [metric for metric in METRICS.values() if metric.of(kind)]
        assert len({m.short for m in metrics}) == len({m.label for m in metrics}) == len(metrics), (
            "names are not shared"
        )


def test_directions_and_units():
    assert {name: (METRICS[name].better, METRICS[name].unit) for name in TABLE} == TABLE


def test_ranges():
    wide = {name: (m.low, m.high) for name, m in METRICS.items() if (m.low, m.high) != (0, 1)}
    lengths = dict.fromkeys((n for n in METRICS if n.endswith("_length") or n in LOSSES), (0, math.inf))
    assert wide == {"privleak": (-100, math.inf), **lengths}


def results_of(make, seed, n, retain_seed=None):
    model, retain = (
        from_samples(make(s, n), where="x") for s in (seed, seed + 1 if retain_seed is None else retain_seed)
    )
    return evaluate(model, retain)


@pytest.mark.parametrize(("seed", "n"), [(0, 1), (1, 9)])
def test_values_and_samples_of_random_evidence(make_samples, make_muse, seed, n):
    for make, kind in ((make_samples, "tofu"), (make_muse, "muse")):
        results = results_of(make, seed, n)
        assert list(results.values) == [name for name, m in METRICS.items() if m.of(kind)], "in the order of tables"
        assert results.absent == {}
        for name, value in results.values.items():
            metric = METRICS[name]
            assert type(value.value) is float
            assert metric.low <= value.value <= metric.high
            if metric.interval is of_mean:
                assert value.per_sample is not None
                assert np.mean(value.per_sample.to_numpy()) == value.value
                assert list(value.per_sample.index) == list(range(n))
                assert value.per_sample.between(metric.low, metric.high).all()
                assert value.parts == ()


def test_parts_make_the_value_again(make_samples, make_muse):
    """What a redrawing of samples starts from, put together as it stands, is the value."""
    for make in (make_samples, make_muse):
        for name, value in results_of(make, 1, 8).values.items():
            interval = METRICS[name].interval
            if interval is of_auc:
                assert auc(*value.parts) == value.value
                assert value.per_sample.tolist() == value.parts[0].tolist()
            elif interval is of_leak:
                members, others = value.parts  # the model's scores, then the retain model's
                assert members.shape == others.shape == (2, 8)
                assert privleak(*map(auc, members, others)) == value.value
            elif interval is of_utility:
                assert [part.shape for part in value.parts] == [(3, 8)] * 3
                assert harmonic_mean([mean for part in value.parts for mean in part.mean(axis=1)]) == pytest.approx(
                    value.value
                )
            elif interval in (of_distance, None):
                assert [len(part) for part in value.parts] == [8, 8]
                gaps = [
                    abs(np.mean(value.parts[0] <= x) - np.mean(value.parts[1] <= x))
                    for x in np.concatenate(value.parts)
                ]
                assert interval is None or max(gaps) == pytest.approx(value.value)


def test_the_table_of_samples(make_samples, make_muse):
    for make, kind in ((make_samples, "tofu"), (make_muse, "muse")):
        results = results_of(make, 1, 5)
        table = results.per_sample()
        assert list(table.columns) == ["metric", "index", "value"]
        assert not table.duplicated(["metric", "index"]).any()
        assert np.isfinite(table["value"]).all()
        means = table.groupby("metric")["value"].mean()
        for name, value in results.values.items():
            if METRICS[name].interval is of_mean:
                assert means[name] == pytest.approx(value.value)
        names = {n for n, m in METRICS.items() if m.of(kind) and m.interval not in (of_utility, None, of_distance)}
        assert set(table["metric"]) == names | ({RAW_RATIOS} if kind == "tofu" else set())
    evidence = from_samples(make_samples(1, 5), where="x")
    table = evaluate(evidence, evidence).per_sample().query("metric == @RAW_RATIOS")
    assert table["value"].tolist() == ratios(evidence, "forget").tolist()
    assert table["index"].tolist() == [0, 1, 2, 3, 4]
