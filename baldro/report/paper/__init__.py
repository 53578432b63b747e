"""A paper from its results: tables and figures in its own layout, the published numbers beside ours, and one page."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from baldro.analysis.comparisons import Comparison, compare, differences_table
from baldro.analysis.frame import read_provenance, read_results
from baldro.analysis.samples import Samples
from baldro.durable.files import write_text
from baldro.records import report as record
from baldro.report import write_table
from baldro.report.findings import absent_findings, difference_findings, memory_findings
from baldro.report.page import render_page
from baldro.report.paper.layout import EXHIBITS, Shown, shown
from baldro.report.paper.tables import Compared, compared
from baldro.report.style import grouped_by
from baldro.report.terminal import plain_text
from baldro.report.words import describe, paragraph
from baldro.runs import Experiment

__all__ = ["EXHIBITS", "paper_text", "write_paper"]
COMPARED = ("table_1", "table_2")
"""Tables whose robust variants are held against their base."""


def write_paper(
    *,
    name: str,
    description: str,
    runs: list[dict[str, object]],
    exhibits: Mapping[str, Sequence[Experiment]],
    results: Path,
    output: Path,
    config_text: str,
    notes: Mapping[str, str],
    allow_missing: bool,
) -> Path:
    """Write runs.csv, differences.csv, tables/, figures/ and report.html into `output`; returns the page.

    Args:
        runs: {id, field: value or None, ...} of every row of every experiment, once.
        exhibits: key of EXHIBITS -> the experiments whose runs it shows.
        results, output, config_text, notes, allow_missing: as of `baldro.report.write_report`.

    Errors: as of `write_report`.
    """
    from baldro.report.figures.paper import draw_paper

    frame, samples = read_results(runs=runs, results=results, allow_missing=allow_missing)
    parts = shown(frame, exhibits)
    tables, comparisons = _compared(parts), _comparisons(parts, samples)
    page_file = output / record.PAGE
    page_file.unlink(missing_ok=True)  # written last, as of any report
    record.write(output, frame, record.Settings(selection={"rule": "all"}, metrics=None, attribution=None))
    write_text(output / "differences.csv", differences_table(comparisons).to_csv(index=False))
    for each in tables:
        write_table(output, each.table, each.numbers)
    figures, absent = draw_paper(parts, folder=output / "figures")
    models = frame.groupby(["benchmark", "model"], sort=False)
    findings = {
        about: {", ".join(key): texts for key, part in models if (texts := of(part))}
        for about, of in (("memory", memory_findings), ("uncomputed", absent_findings))
    }
    page = render_page(
        name=name,
        description=description,
        frame=frame,
        rule_text=" ".join(_rules(parts)),
        lead=lead(tables),
        differences=difference_findings(comparisons, chosen=any(each.rule["rule"] == "best" for each in parts)),
        comparisons=comparisons,
        tables=[each.table for each in tables],
        figures=figures,
        effects={},
        effect_cautions=[],
        effect_tables=[],
        effect_figures=[],
        absent=absent,
        config_text=config_text,
        notes={paragraph("paper", "gaps_heading"): paragraph("paper", "gaps", names=list(exhibits)), **notes},
        provenance=read_provenance(frame, results),
        cluster=None,
        **findings,
    )
    write_text(page_file, page)
    return page_file


def paper_text(folder: Path, exhibits: Mapping[str, Sequence[Experiment]], *, width: int = 100) -> str:
    """What a written paper shows in its tables, for a terminal, and first how the published numbers lie in ours.

    Errors: `folder` holds no report.
    """
    tables = _compared(shown(record.read(folder)[0], exhibits))
    return "\n".join([lead(tables), "", *(plain_text(each.table, width=width) for each in tables)])


def lead(tables: Sequence[Compared]) -> str:
    """How many published numbers lie in our intervals, a sentence a table, and how far apart the p-values are."""
    found = []
    for name, own in grouped_by(tables, lambda each: each.name).items():
        held = [h for each in own for h in each.held.values()]
        inside = [h.inside for h in held]
        count = {"published": sum(each.published for each in own), "held": len(held)}
        count |= {"inside": inside.count(True), "outside": inside.count(False), "open": inside.count(None)}
        found.append(count | {"title": EXHIBITS[name].title, "steps": [h.steps for h in held if h.steps is not None]})
    return paragraph("paper", "lead", tables=found)


def _compared(parts: Sequence[Shown]) -> list[Compared]:
    return [table for each in parts if each.exhibit.source for table in compared(each)]


def _comparisons(parts: Sequence[Shown], samples: Mapping[str, Samples]) -> list[Comparison]:
    own = [each for each in parts if each.name in COMPARED]
    return [found for each in own for found in compare(each.frame, each.rule, samples)]


def _rules(parts: Sequence[Shown]) -> list[str]:
    """The rule of each exhibit in words, those of one rule and the same runs together."""
    told: dict[str, list[str]] = {}
    for each in parts:
        told.setdefault(describe(each.rule, each.frame), []).append(each.exhibit.title)
    return [paragraph("paper", "rule", titles=list(dict.fromkeys(titles)), rule=rule) for rule, titles in told.items()]
