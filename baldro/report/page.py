"""One self-contained HTML page: what was run, what the numbers show, tables, figures, and how it was made."""

import base64
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pandas as pd
from markupsafe import Markup

from baldro.analysis.comparisons import UNTESTED, Comparison
from baldro.analysis.frame import is_method
from baldro.analysis.labels import objective_label, objective_rank
from baldro.metrics import find, shown
from baldro.metrics.metric import COMPARISON
from baldro.records.run import Trained
from baldro.report.formats import html
from baldro.report.style import DASH, amount, counted, grouped_by
from baldro.report.tables import Table
from baldro.report.words import PAGE, environment

if TYPE_CHECKING:
    from baldro.report.figures import Drawn

SCALE = 0.53
"""CSS pixels per pixel of a figure."""


def render_page(
    *,
    frame: pd.DataFrame,
    comparisons: Sequence[Comparison],
    tables: Sequence[Table],
    figures: "Sequence[Drawn]",
    effect_tables: Sequence[Table],
    effect_figures: "Sequence[Drawn]",
    provenance: Sequence[Trained],
    **texts: Any,
) -> str:
    """The page as HTML, all inside it: style, figures (base64 PNG), no script and no address.

    Args:
        frame: the long table.
        effect_tables, effect_figures: of crossed factors.
        provenance: what is recorded of each run that was trained.
        texts: what the template shows as it is: name, description, rule_text, lead, memory, uncomputed, differences, effects,
            effect_cautions, absent, config_text, notes, cluster (of `usage_texts`, or None).
    """
    methods = frame[is_method(frame)]
    compared = shown(COMPARISON, {c.metric for c in comparisons})
    defined = dict.fromkeys(name for table in (*tables, *effect_tables) for name in table.metrics if find(name))
    return (
        environment(page=True)
        .get_template(PAGE)
        .render(
            **texts,
            run={name: list(dict.fromkeys(frame[name])) for name in ("split", "benchmark", "model")},
            objectives=[objective_label(name) for name in sorted(set(methods["objective"]), key=objective_rank)],
            runs=len(methods),
            seeds=methods["seed"].dropna().nunique() if "seed" in methods.columns else 0,
            compared=compared,
            comparisons=grouped_by(comparisons, lambda c: (c.benchmark, c.model, c.split, c.method)),
            untested=UNTESTED,
            tables=[_fragment(table) for table in tables],
            effect_tables=[_fragment(table) for table in effect_tables],
            figures=[_embedded(figure) for figure in figures],
            effect_figures=[_embedded(figure) for figure in effect_figures],
            several=len({(t.benchmark, t.model) for t in tables}) > 1,
            failed=frame[frame["status"] != "ok"].to_dict("records"),
            done=methods[methods["status"] == "ok"].to_dict("records"),
            definitions=[find(name) for name in defined],
            provenance=provenance_lines(provenance),
            isfinite=math.isfinite,
            duration=_duration,
            number_or_dash=lambda value: DASH if pd.isna(value) else amount(value),
            gibibytes=lambda value: DASH if pd.isna(value) else f"{value / 2**30:.2f} GiB",
        )
    )


def provenance_lines(records: Sequence[Trained]) -> list[tuple[str, str]]:
    """Device, commit and versions, each with how many runs had it where they differ; and when the runs were finished."""
    if not records:
        return []
    found = {"Device": _tally(r.device.replace(": 1 threads", ": 1 thread") for r in records)}
    found["Git commit"] = _tally(r.commit or "not recorded" for r in records)
    for package in sorted({package for r in records for package in r.versions}):
        found[package] = _tally(r.versions.get(package) or "absent" for r in records)
    ends = sorted((r.finished for r in records), key=datetime.fromisoformat)
    return [*found.items(), ("Finished", " to ".join(dict.fromkeys([ends[0], ends[-1]])))]


def _fragment(table: Table) -> dict[str, Any]:
    return {"title": table.title, "html": Markup(html(table))}


def _embedded(figure: "Drawn") -> dict[str, Any]:
    """A figure with its words, as base64, and the size (CSS pixels) at which its text is as large as the page's tables."""
    content = figure.png.read_bytes()
    width, height = (round(int.from_bytes(content[at : at + 4]) * SCALE) for at in (16, 20))  # the IHDR chunk
    data = base64.b64encode(content).decode("ascii")
    words = {"title": figure.title, "caption": figure.caption, "alt": figure.alt}
    return {"data": data, "width": width, "height": height, **words}


def _tally(values: Iterable[str]) -> str:
    counts = Counter(values)
    if len(counts) == 1:
        return next(iter(counts))
    return "; ".join(f"{value} ({counted(n, 'run')})" for value, n in counts.most_common())


def _duration(seconds: Any) -> str:
    if pd.isna(seconds):
        return DASH
    if seconds < 120:
        return f"{seconds:.1f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"
