"""The effects of crossed factors as a table like the others, and in sentences that claim no more than the intervals allow."""

from collections.abc import Sequence

from baldro.analysis.attribution import CHANGES, DOUBTFUL, INTERACTION, NOT_SHOWN, TOTAL, Attributed
from baldro.analysis.labels import level_label, metric
from baldro.analysis.rows import Cell, Row
from baldro.analysis.significance import ALPHA
from baldro.report.style import grouped_by, listed
from baldro.report.tables import Table, table_title
from baldro.report.words import paragraph

TOPIC = "what each difference changes"


def attribution_tables(effects: Sequence[Attributed]) -> list[Table]:
    """A table of each (benchmark, model): methods and their factors down, splits and metrics across; no interactions."""
    return [_table(own) for own in grouped_by(_shown(effects), lambda e: (e.benchmark, e.model)).values()]


def attribution_findings(effects: Sequence[Attributed]) -> dict[str, list[str]]:
    """Metric (and where, if there are several splits or models) -> a sentence a factor: what it changes, of which methods."""
    kept, found = _shown(effects), {}
    several = [name for name in ("split", "benchmark", "model") if len({getattr(e, name) for e in kept}) > 1]
    for (name, *where), own in grouped_by(kept, lambda e: (e.metric, *(getattr(e, key) for key in several))).items():
        factors = grouped_by(own, _name).items()
        found[paragraph("findings", "effect_heading", name=name, where=where)] = [
            paragraph("findings", "effect", name=factor, by_verdict=_by_verdict(of_it)) for factor, of_it in factors
        ]
    return found


def attribution_cautions(effects: Sequence[Attributed]) -> list[str]:
    """What to be wary of in these sentences; nothing where no effect has an interval."""
    judged = sum(e.effect.p is not None for e in _shown(effects))
    return [paragraph("findings", "effects", judged=judged, alpha=ALPHA)] if judged else []


def _shown(effects: Sequence[Attributed]) -> list[Attributed]:
    return [e for e in effects if e.kind != INTERACTION]


def _by_verdict(own: Sequence[Attributed]) -> list[tuple[str, list[Attributed]]]:
    """What can be said of one factor in one metric, and of which methods: changes first."""
    found = grouped_by(own, lambda e: e.direction if e.verdict == CHANGES else e.verdict)
    return sorted(found.items(), key=lambda pair: (pair[0] in (DOUBTFUL, NOT_SHOWN), pair[0] == NOT_SHOWN))


def _name(e: Attributed) -> str:
    return e.label if e.kind == TOTAL else f"{e.label} against {_reference(e)}"


def _reference(e: Attributed) -> str:
    return listed([level_label(name, reference) for name, _, reference in e.steps])


def _table(effects: Sequence[Attributed]) -> Table:
    """Of one benchmark and model."""
    benchmark, model = effects[0].benchmark, effects[0].model
    splits, metrics = (tuple(dict.fromkeys(getattr(e, name) for e in effects)) for name in ("split", "metric"))
    rows = grouped_by(effects, lambda e: (e.method, e.label)).values()
    by_split = grouped_by(effects, lambda e: (e.split, e.method, e.label)).values()
    lost = [max(own, key=lambda e: e.effect.missing) for own in by_split]
    caption = paragraph(
        "captions",
        "effects",
        title=table_title(benchmark, model, TOPIC),
        metrics=[metric(name) for name in metrics],
        references=list(dict.fromkeys((e.label, _reference(e)) for e in effects if e.kind != TOTAL)),
        seeds=sorted({e.difference.n for e in effects if e.difference}),
        runs=sum({(e.split, e.method): e.runs for e in effects}.values()),
        total=any(e.kind == TOTAL for e in effects),
        family=max(sum(e.metric == name and e.effect.p is not None for e in effects) for name in metrics),
        alpha=ALPHA,
    )
    return Table(
        benchmark=benchmark,
        model=model,
        splits=splits,
        metrics=metrics,
        rows=tuple(map(_row, rows)),
        published={},
        caption=caption,
        footnotes=tuple(paragraph("notes", "pairs", e=e) for e in lost if e.effect.missing),
        topic=TOPIC,
        file="attribution",
        head="What differs",
    )


def _row(own: Sequence[Attributed]) -> Row:
    """A level of a factor, of one method; the cells are differences to the reference level."""
    first = own[0]
    cells = {(e.split, e.metric): _cell(e) for e in own if e.difference is not None}
    instead = {e.split: f"{e.verdict} ({e.effect.missing} missing)" for e in own}
    return Row(
        objective=first.objective,
        variant=first.variant,
        hyperparameters={},
        cells=cells,
        instead={split: text for split, text in instead.items() if not any(key[0] == split for key in cells)},
        name=f"{first.method}: {first.label}",
    )


def _cell(e: Attributed) -> Cell:
    d, found = e.difference, e.verdict == CHANGES
    over = "" if d.low is None else "seeds"
    return Cell(mean=d.mean, low=d.low, high=d.high, n=d.n, over=over, best=found, bold=found, signed=True)
