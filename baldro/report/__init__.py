"""Results -> one long table, the paper's tables, the figures and one self-contained HTML page.

`read_frame` gathers the runs; everything else reads what it returns. Nothing here needs torch, and matplotlib is
imported only when figures are drawn.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from baldro.analysis.attribution import Attributed, attribute, attribution_frame
from baldro.analysis.cluster import jobs_table, read_jobs
from baldro.analysis.comparisons import compare, differences_table
from baldro.analysis.frame import read_frame, read_provenance, read_results
from baldro.durable.files import write_text
from baldro.records import report as record
from baldro.report.effects import attribution_cautions, attribution_findings, attribution_tables
from baldro.report.efficiency import usage_texts
from baldro.report.findings import absent_findings, difference_findings, lead, memory_findings
from baldro.report.formats import markdown
from baldro.report.latex import latex
from baldro.report.page import render_page
from baldro.report.tables import Table, build_tables, collapse_tables, tidy
from baldro.report.terminal import plain_text
from baldro.report.words import describe

__all__ = ["main_table_text", "read_frame", "tables_text", "write_report", "write_table"]


def write_report(
    *,
    name: str,
    runs: list[dict[str, Any]],
    results: Path,
    output: Path,
    selection: Mapping[str, Any],
    config_text: str,
    notes: Mapping[str, str],
    allow_missing: bool,
    metrics: Sequence[str] | None = None,
    attribution: Mapping[str, Any] | None = None,
    description: str = "",
) -> Path:
    """Write runs.csv, differences.csv, report.json, tables/, figures/ and report.html into `output`; returns the page.

    Where jobs of the experiment went through SLURM, also slurm.csv and a section of the page; with `attribution`, a table, a
    figure and a section of what crossed factors change.

    Args:
        name: of the experiment, the page's title.
        runs: {id, field: value or None, ...} of every row, Original and Retain included.
        results: the folder with runs/{id}/, and slurm.jsonl if jobs went through SLURM.
        selection: the config's rule (baldro.analysis.selection).
        config_text: shown on the page as it is.
        notes: heading -> text, shown below the findings.
        allow_missing: a run without a result becomes a row that says so; otherwise it is an error.
        metrics: columns of the main tables; by default those of the paper.
        attribution: {factors: fields that the runs cross, metrics: names, by default the usual ones}.
        description: a sentence about the experiment, at the head of the page.

    Errors: a missing or broken result or line of slurm.jsonl, a rule or metric that the results do not know, factors that the
    runs do not cross.
    """
    from baldro.report.figures import draw_all, draw_effects

    frame, samples = read_results(runs=runs, results=results, allow_missing=allow_missing)
    jobs, chosen = read_jobs(results, frame), selection["rule"] == "best"
    comparisons, effects = compare(frame, selection, samples), _effects(frame, attribution)
    tables = [*build_tables(frame, selection, metrics), *collapse_tables(frame, selection)]
    effect_tables = attribution_tables(effects)
    page_file = output / record.PAGE
    page_file.unlink(missing_ok=True)  # written last: it says that what is beside it belongs together
    settings = record.Settings(selection=selection, metrics=metrics and list(metrics), attribution=attribution)
    record.write(output, frame, settings)
    write_text(output / "differences.csv", differences_table(comparisons).to_csv(index=False))
    (output / "slurm.csv").unlink(missing_ok=True)
    if jobs:
        write_text(output / "slurm.csv", jobs_table(jobs).to_csv(index=False))
    for table in tables:
        write_table(output, table, tidy(table))
    for table in effect_tables:
        own = [e for e in effects if (e.benchmark, e.model) == (table.benchmark, table.model)]
        write_table(output, table, attribution_frame(own))
    figures, absent = draw_all(frame, samples, selection, results=results, folder=output / "figures")
    page = render_page(
        name=name,
        description=description,
        frame=frame,
        rule_text=describe(selection, frame),
        lead=lead(frame, comparisons, chosen=chosen),
        memory=_by_model(frame, memory_findings),
        uncomputed={where: texts for where, texts in _by_model(frame, absent_findings).items() if texts},
        differences=difference_findings(comparisons, chosen=chosen),
        comparisons=comparisons,
        tables=tables,
        figures=figures,
        effects=attribution_findings(effects),
        effect_cautions=attribution_cautions(effects),
        effect_tables=effect_tables,
        effect_figures=draw_effects(effects, folder=output / "figures"),
        absent=absent,
        config_text=config_text,
        notes=notes,
        provenance=read_provenance(frame, results),
        cluster=usage_texts(jobs) if jobs else None,
    )
    write_text(page_file, page)
    return page_file


def main_table_text(output: Path, *, width: int | None = None) -> str:
    """The main tables of a written report, and those of crossed factors, as plain text; a line where no run has a result.

    `width`: in columns; by default as wide as the terminal.

    Errors: `output` holds no report.
    """
    frame, settings = record.read(output)
    if not (frame["status"] == "ok").any():
        return "No run has a result yet; the report says why.\n"
    return tables_text(
        frame, settings.selection, metrics=settings.metrics, attribution=settings.attribution, width=width
    )


def tables_text(
    frame: pd.DataFrame,
    selection: Mapping[str, Any],
    *,
    metrics: Sequence[str] | None = None,
    attribution: Mapping[str, Any] | None = None,
    width: int | None = None,
) -> str:
    """As `main_table_text`, of a frame from `read_frame`."""
    columns = width or shutil.get_terminal_size((100, 24)).columns
    tables = [*build_tables(frame, selection, metrics), *attribution_tables(_effects(frame, attribution))]
    return "\n".join(plain_text(table, width=columns) for table in tables)


def _effects(frame: pd.DataFrame, attribution: Mapping[str, Any] | None) -> list[Attributed]:
    return attribute(frame, attribution["factors"], attribution.get("metrics")) if attribution else []


def write_table(output: Path, table: Table, numbers: pd.DataFrame) -> None:
    """{stem}.csv, .md and .tex."""
    stem = output / "tables" / table.stem
    write_text(Path(f"{stem}.csv"), numbers.to_csv(index=False))
    write_text(Path(f"{stem}.md"), markdown(table))
    write_text(Path(f"{stem}.tex"), latex(table))


def _by_model(frame: pd.DataFrame, findings: Callable[[pd.DataFrame], list[str]]) -> dict[str, list[str]]:
    parts = frame.groupby(["benchmark", "model"], sort=False)
    return {f"{benchmark}, {model}": findings(part) for (benchmark, model), part in parts}
