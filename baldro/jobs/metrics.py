"""`baldro metrics`: evidence or a published log -> metrics.json, per-sample values, a log in the published format, or a table."""

from argparse import Namespace
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from baldro.durable.files import write_json
from baldro.errors import BaldroError
from baldro.metrics import (
    METRICS,
    Evidence,
    Metric,
    Results,
    aggregates,
    check_comparable,
    evaluate,
    from_log,
    from_samples,
    intervals,
    read_log,
    same_model,
)
from baldro.metrics.export import to_log
from baldro.metrics.intervals import of_auc, of_leak
from baldro.records import evidence, finished, per_sample
from baldro.records.metrics import Evaluation, write
from baldro.runs import Run, fingerprint


def run(options: Namespace) -> None:
    """What the verb's options say."""
    if options.export and options.export.suffix != ".json":
        raise BaldroError("wrong-file-name", f"--export {options.export}: allowed: a name that ends in .json")
    if options.retain_samples and options.alone:
        raise BaldroError("options-exclude-each-other", "allowed: --alone or --retain-samples, not both")
    model = read(options.samples)
    retain = read(options.retain_samples, kind=model.kind) if options.retain_samples else None
    results = evaluate(model, retain, alone=options.alone)
    _check(options, results, model, retain)
    ends = intervals(results.values)
    if options.per_sample:
        per_sample.write(options.per_sample, results.per_sample())
    if options.export:
        write_json(options.export, to_log(model, results))
    if options.output:  # last: it says that the rest is there
        if options.output.parent == options.samples.parent:
            finished.forget(options.samples.parent)
        write(options.output, evaluation(options, results, ends))
    else:
        print(table(results, ends, _recorded(options.samples)))


def _check(options: Namespace, results: Results, model: Evidence, retain: Evidence | None) -> None:
    """Raise BaldroError where there is no number, or the comparison is of a model with itself and nobody said so."""
    if not results.values:
        reason = next(iter(results.absent.values()))
        raise BaldroError("no-metric-possible", f"{options.samples}: {reason}; allowed: values of each sample")
    if retain is None:
        return
    check_comparable(retain)
    meant = options.itself or (options.run and Run.parse(options.run).objective == "retain")
    if not meant and same_model(model, retain):
        raise BaldroError(
            "compared-with-itself",
            f"{options.samples} and {options.retain_samples} are one model's evidence, by which any model has forget quality 1 and "
            "PrivLeak 0; give the evidence of the model that never saw the forget split, or --itself if this is that model",
        )


def read(path: Path, *, kind: str | None = None) -> Evidence:
    """Evidence of a parquet file of ours or of a published log (TOFU's own: or their folder); `kind`: where it does not show it."""
    if _is_log(path):
        return from_log(read_log(path), where=str(path), kind=kind)
    if path.suffix != ".parquet":
        raise BaldroError("wrong-file-name", f"{path}: allowed: evidence in .parquet, or a log in .json or .json.gz")
    return replace(from_samples(evidence.read(path), where=str(path)), scores=evidence.scores(path))


def evaluation(options: Namespace, results: Results, ends: Mapping[str, tuple[float, float]]) -> Evaluation:
    """The metrics of a run, or of a published log, whose file stands in place of a run's id."""
    return Evaluation(
        run=Run.parse(options.run).id if options.run else str(options.samples),
        definitions=fingerprint("metrics"),
        metrics={name: value.value for name, value in results.values.items()},
        intervals=ends,
        absent=results.absent,
    )


def table(results: Results, ends: Mapping[str, tuple[float, float]], recorded: Mapping[str, float]) -> str:
    """Every metric with its interval over samples and, of a published log, what the log itself says."""
    lines = [f"{'metric':26} {'value':>11}  {'95 % over samples':21}" + ("   the log says" if recorded else "")]
    for name, value in results.values.items():
        low_high = "[{:.4g}, {:.4g}]".format(*ends[name]) if name in ends else ""
        line = f"{name:26} {value.value:11.6g}  {low_high:21}"
        if name in recorded:
            same = "the same" if _same(METRICS[name], value.value, recorded[name]) else repr(recorded[name])
            line += f"   {same}"
        lines.append(line.rstrip())
    reasons: dict[str, list[str]] = {}
    for name, reason in results.absent.items():
        reasons.setdefault(reason, []).append(name)
    lines += [f"absent: {', '.join(names)}: {reason}" for reason, names in reasons.items()]
    return "\n".join(lines)


def _same(metric: Metric, ours: float, theirs: float) -> bool:
    """To rounding; areas and leaks are differences, whose rounding does not shrink with them."""
    return bool(np.isclose(ours, theirs, rtol=1e-12, atol=1e-12 if metric.interval in (of_auc, of_leak) else 0))


def _recorded(path: Path) -> dict[str, float]:
    return {k: v for k, v in aggregates(read_log(path)).items() if k in METRICS} if _is_log(path) else {}


def _is_log(path: Path) -> bool:
    return ".json" in path.suffixes or path.is_dir()
