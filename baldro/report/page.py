"""One self-contained HTML page: what was run, what the numbers show, tables, figures, and how it was made."""

import base64
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from markupsafe import Markup

from baldro.analysis.comparisons import UNTESTED, Comparison
from baldro.analysis.frame import is_method
from baldro.analysis.labels import metric, objective_label, objective_rank, plain
from baldro.metrics import METRICS, Metric, shown
from baldro.metrics.metric import COMPARISON
from baldro.records.run import Trained
from baldro.report.findings import difference_text, samples_text
from baldro.report.formats import html
from baldro.report.style import DASH, counted, listed
from baldro.report.tables import Table
from baldro.report.words import PAGE, environment

if TYPE_CHECKING:
    from baldro.report.figures import Drawn

SCALE = 0.53
"""CSS pixels per pixel of a figure."""


def render_page(
    *,
    name: str,
    description: str,
    frame: pd.DataFrame,
    rule_text: str,
    lead: str,
    memory: Mapping[str, list[str]],
    uncomputed: Mapping[str, list[str]],
    differences: list[str],
    comparisons: list[Comparison],
    tables: list[Table],
    figures: "list[Drawn]",
    absent: list[str],
    config_text: str,
    notes: Mapping[str, str],
    provenance: Sequence[Trained],
    effects: Mapping[str, Sequence[str]] | None = None,
    effect_cautions: Sequence[str] = (),
    effect_tables: Sequence[Table] = (),
    effect_figures: "Sequence[Drawn]" = (),
    cluster: Mapping[str, Any] | None = None,
) -> str:
    """The page as HTML, all inside it: style, figures (base64 PNG), no script and no address.

    effects: heading -> sentences about crossed factors, with what to be wary of, tables and figures; cluster: of `usage_texts`.
    """
    return (
        environment(page=True)
        .get_template(PAGE)
        .render(
            name=name,
            headline=f"{description} {headline(frame)}".strip(),
            tiles=tiles(frame),
            rule_text=rule_text,
            lead=lead,
            memory=memory,
            uncomputed=uncomputed,
            differences=differences,
            comparison_heads=[metric(m).label for m in _compared(comparisons)],
            comparison_rows=comparison_rows(comparisons),
            tables=[_fragment(table) for table in tables],
            effects=effects or {},
            effect_cautions=effect_cautions,
            effect_tables=[_fragment(table) for table in effect_tables],
            effect_figures=[_shown(figure) for figure in effect_figures],
            several=len({(t.benchmark, t.model) for t in tables}) > 1,
            figures=[_shown(figure) for figure in figures],
            absent=absent,
            failed=frame[frame["status"] != "ok"][["id", "status", "reason"]].to_dict("records"),
            config_text=config_text,
            notes=notes,
            provenance=provenance_lines(provenance),
            timings=timings(frame),
            definitions=definitions([*tables, *effect_tables]),
            cluster=cluster,
        )
    )


def headline(frame: pd.DataFrame) -> str:
    """What was run, in a sentence."""
    methods = frame[is_method(frame)]
    objectives = [objective_label(name) for name in sorted(set(methods["objective"]), key=objective_rank)]
    where = [listed(list(dict.fromkeys(frame[name]))) for name in ("split", "benchmark", "model")]
    return f"{listed(objectives)} on {where[0]} of {where[1]}, with {where[2]}."


def tiles(frame: pd.DataFrame) -> list[tuple[str, str]]:
    """(number, what it counts) for the head of the page."""
    methods = frame[is_method(frame)]
    seeds = methods["seed"].dropna().nunique() if "seed" in methods.columns else 0
    lost = int((frame["status"] != "ok").sum())
    pairs = [
        (len(methods), "unlearning run", None),
        (seeds, "seed", None),
        (frame["split"].nunique(), "forget split", None),
        (lost, "run without result", "runs without result"),
    ]
    return [(str(n), counted(n, one, many).partition(" ")[2]) for n, one, many in pairs]


def comparison_rows(comparisons: list[Comparison]) -> list[dict[str, Any]]:
    """A row per method and split, a cell per metric: text, the answers over seeds and over samples, and a class."""
    rows: dict[tuple[str, ...], dict[str, Any]] = {}
    names = _compared(comparisons)
    for c in comparisons:
        key = (c.benchmark, c.model, c.split, c.method)
        row = rows.setdefault(key, {"split": c.split, "method": c.method, "cells": [None] * len(names), "seeds": 0})
        row["where"] = f"{c.benchmark}, {c.model}"
        lines = [f"seeds: {c.over_seeds}"]
        if c.over_samples != UNTESTED:
            test = f" ({text})" if (text := samples_text(c)) else ""
            lines.append(f"samples: {c.over_samples}{test}")
        row["cells"][names.index(c.metric)] = {"text": difference_text(c), "lines": lines, "kind": c.settled or "open"}
        row["seeds"] = max(row["seeds"], c.difference.n if c.difference else 0)
    return list(rows.values())


def provenance_lines(records: Sequence[Trained]) -> list[tuple[str, str]]:
    """Device, commit and versions, each with how many runs had it where they differ; and when the runs were finished."""
    lines = []
    if not records:
        return []
    lines.append(("Device", _tally(record.device for record in records)))
    lines.append(("Git commit", _tally(record.commit or "not recorded" for record in records)))
    for package in sorted({package for record in records for package in record.versions}):
        lines.append((package, _tally(record.versions.get(package) or "absent" for record in records)))
    ends = sorted((record.finished for record in records), key=datetime.fromisoformat)
    lines.append(("Finished", ends[0] if len(set(ends)) == 1 else f"{ends[0]} to {ends[-1]}"))
    return lines


def timings(frame: pd.DataFrame) -> list[dict[str, str]]:
    """What each run cost, as text."""
    return [
        {
            "id": row["id"],
            "time": _duration(row["seconds"]),
            "steps": _or_dash(row["steps"], plain),
            "tokens": _or_dash(row["tokens"], lambda n: f"{n:,.0f}"),
            "rate": _or_dash(row["tokens_per_second"], lambda n: f"{n:,.0f}"),
            "memory": _or_dash(row["peak_memory_bytes"], lambda n: f"{n / 2**30:.2f} GiB"),
        }
        for row in frame[is_method(frame)].to_dict("records")
        if row["status"] == "ok"
    ]


def definitions(tables: Sequence[Table]) -> list[dict[str, str]]:
    """What the numbers of the tables mean: label, column head, better direction, range with unit, source."""
    names = dict.fromkeys(name for table in tables for name in table.metrics if name in METRICS)
    directions = {"up": "higher", "down": "lower", "": "as Retain"}
    return [
        {
            "label": METRICS[name].label,
            "short": METRICS[name].short,
            "better": directions[METRICS[name].better],
            "range": _range(METRICS[name]),
            "source": METRICS[name].source,
        }
        for name in names
    ]


def _range(defined: Metric) -> str:
    upper = f"to {plain(defined.high)}" if math.isfinite(defined.high) else "and above"
    return f"{plain(defined.low)} {upper} {defined.unit}".strip()


def _compared(comparisons: list[Comparison]) -> list[str]:
    return shown(COMPARISON, {c.metric for c in comparisons})


def _fragment(table: Table) -> dict[str, Any]:
    return {"title": table.title, "html": Markup(html(table))}


def _shown(figure: "Drawn") -> dict[str, Any]:
    return {"title": figure.title, "caption": figure.caption, "alt": figure.alt, **_embedded(figure.png)}


def _embedded(path: Path) -> dict[str, Any]:
    """A PNG as base64, with the size (CSS pixels) at which its text is as large as the page's tables."""
    content = path.read_bytes()
    width, height = (int.from_bytes(content[at : at + 4]) for at in (16, 20))  # the IHDR chunk
    data = base64.b64encode(content).decode("ascii")
    return {"data": data, "width": round(width * SCALE), "height": round(height * SCALE)}


def _tally(values: Any) -> str:
    counts = Counter(values)
    if len(counts) == 1:
        return next(iter(counts))
    return "; ".join(f"{value} ({counted(n, 'run')})" for value, n in counts.most_common())


def _or_dash(value: Any, write: Any) -> str:
    return DASH if pd.isna(value) else write(value)


def _duration(seconds: Any) -> str:
    if pd.isna(seconds):
        return DASH
    if seconds < 120:
        return f"{seconds:.1f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"
