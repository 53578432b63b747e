"""The effects of crossed factors as a table like the others, and in sentences that claim no more than the intervals allow."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from baldro.analysis.attribution import CHANGES, DOUBTFUL, INTERACTION, NOT_SHOWN, TOTAL, Attributed
from baldro.analysis.labels import level_label, metric
from baldro.analysis.rows import Cell, Row
from baldro.analysis.significance import ALPHA
from baldro.report.style import COARSE, counted, listed, number
from baldro.report.tables import Table
from baldro.report.words import paragraph

TOPIC = "what each difference changes"


@dataclass(frozen=True, kw_only=True)
class EffectRow(Row):
    """A level of a factor, of one method; the cells are differences to the reference level."""

    name: str

    @property
    def label(self) -> str:
        return self.name


def attribution_tables(effects: Sequence[Attributed]) -> list[Table]:
    """A table of each (benchmark, model): methods and their factors down, splits and metrics across; no interactions."""
    kept = [e for e in effects if e.kind != INTERACTION]
    keys = dict.fromkeys((e.benchmark, e.model) for e in kept)
    return [_table([e for e in kept if (e.benchmark, e.model) == key]) for key in keys]


def attribution_findings(effects: Sequence[Attributed]) -> dict[str, list[str]]:
    """Metric (and where, if there are several splits or models) -> a sentence a factor: what it changes, of which methods."""
    kept = [e for e in effects if e.kind != INTERACTION]
    places = list(dict.fromkeys((e.benchmark, e.model) for e in kept))
    splits = list(dict.fromkeys(e.split for e in kept))
    found: dict[str, dict[str, list[Attributed]]] = {}
    for e in kept:
        direction = {"up": ", higher is better", "down": ", lower is better", "": ""}[metric(e.metric).better]
        where = [e.split] * (len(splits) > 1) + [e.benchmark, e.model] * (len(places) > 1)
        heading = f"{metric(e.metric).label}{direction}" + (f" ({', '.join(where)})" if where else "")
        found.setdefault(heading, {}).setdefault(_name(e), []).append(e)
    return {
        heading[0].upper() + heading[1:]: [f"{name}: {_sentence(own)}." for name, own in rows.items()]
        for heading, rows in found.items()
    }


def attribution_cautions(effects: Sequence[Attributed]) -> list[str]:
    """What to be wary of in these sentences; nothing where no effect has an interval."""
    judged = [e for e in effects if e.kind != INTERACTION and e.effect.p is not None]
    if not judged:
        return []
    return [paragraph("findings", "effects", judged=len(judged), alpha=ALPHA)]


def effect_text(e: Attributed) -> str:
    """*+0.041 [+0.020, +0.062]*, or the difference alone where there is no interval."""
    d = e.effect.difference
    if d is None:
        return "no result"
    text = signed(d.mean, e.metric)
    return text if d.low is None else f"{text} [{signed(d.low, e.metric)}, {signed(d.high, e.metric)}]"


def signed(value: float, name: str) -> str:
    """A difference in a metric, with its sign."""
    text = number(value, digits=1 if name in COARSE else 3)
    return text if value < 0 or float(text) == 0 else f"+{text}"


def _sentence(own: Sequence[Attributed]) -> str:
    """What one factor changes in one metric: the methods with their differences, by what can be said of them."""
    by_verdict: dict[str, list[Attributed]] = {}
    for e in own:
        by_verdict.setdefault(f"{e.direction} for" if e.verdict == CHANGES else e.verdict, []).append(e)
    words = {DOUBTFUL: "interval without 0, but not after Holm's correction, for", NOT_SHOWN: f"{NOT_SHOWN} for"}
    ranked = sorted(by_verdict, key=lambda verdict: (verdict in words, verdict == NOT_SHOWN))
    return "; ".join(
        f"{words.get(v, v if v.endswith(' for') else f'{v} for')} {_listed(by_verdict[v])}" for v in ranked
    )


def _listed(effects: Sequence[Attributed]) -> str:
    return listed([f"{e.method} ({effect_text(e)})" if e.effect.difference else e.method for e in effects])


def _name(e: Attributed) -> str:
    return e.label if e.kind == TOTAL else f"{e.label} against {_reference(e)}"


def _reference(e: Attributed) -> str:
    return listed([level_label(name, reference) for name, _, reference in e.steps])


def _table(effects: Sequence[Attributed]) -> Table:
    """Of one benchmark and model."""
    rows: dict[tuple[str, str], list[Attributed]] = {}
    for e in effects:
        rows.setdefault((e.method, e.label), []).append(e)
    splits = tuple(dict.fromkeys(e.split for e in effects))
    metrics = tuple(dict.fromkeys(e.metric for e in effects))
    table = Table(
        benchmark=effects[0].benchmark,
        model=effects[0].model,
        splits=splits,
        metrics=metrics,
        rows=tuple(_row(own) for own in rows.values()),
        published={},
        caption="",
        footnotes=tuple(_missing(own) for own in _by_split(effects) if any(e.effect.missing for e in own)),
        topic=TOPIC,
        file="attribution",
        head="What differs",
    )
    return replace(table, caption=_caption(table, effects))


def _row(own: Sequence[Attributed]) -> EffectRow:
    first = own[0]
    cells = {(e.split, e.metric): _cell(e) for e in own if e.effect.difference is not None}
    instead = {e.split: f"{e.verdict} ({e.effect.missing} missing)" for e in own}
    return EffectRow(
        objective=first.objective,
        variant=first.variant,
        hyperparameters={},
        cells=cells,
        instead={split: text for split, text in instead.items() if not any(key[0] == split for key in cells)},
        name=f"{first.method}: {first.label}",
    )


def _cell(e: Attributed) -> Cell:
    d = e.effect.difference
    over = "" if d.low is None else "seeds"
    return Cell(
        mean=d.mean,
        low=d.low,
        high=d.high,
        n=d.n,
        over=over,
        best=e.verdict == CHANGES,
        bold=e.verdict == CHANGES,
        signed=True,
    )


def _by_split(effects: Sequence[Attributed]) -> list[list[Attributed]]:
    """The effects of one method, factor and split, in all metrics."""
    groups: dict[tuple[str, ...], list[Attributed]] = {}
    for e in effects:
        groups.setdefault((e.split, e.method, e.label), []).append(e)
    return list(groups.values())


def _missing(own: Sequence[Attributed]) -> str:
    worst = max(own, key=lambda e: e.effect.missing)
    of = worst.effect.missing + worst.effect.present
    return f"{worst.method}: {worst.label}, {worst.split}: {worst.effect.missing} of {counted(of, 'pair')} of runs lack a result."


def _caption(table: Table, effects: Sequence[Attributed]) -> str:
    return paragraph(
        "captions",
        "effects",
        title=table.title,
        metrics=[metric(name) for name in table.metrics],
        references=list(dict.fromkeys((e.label, _reference(e)) for e in effects if e.kind != TOTAL)),
        seeds=sorted({e.effect.difference.n for e in effects if e.effect.difference}),
        runs=sum({(e.split, e.method): e.runs for e in effects}.values()),
        total=any(e.kind == TOTAL for e in effects),
        family=_family(effects),
        alpha=ALPHA,
    )


def _family(effects: Sequence[Attributed]) -> int:
    counts = [sum(e.metric == name and e.effect.p is not None for e in effects) for name in {e.metric for e in effects}]
    return max(counts)
