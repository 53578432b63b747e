"""The tables and figures of BalDRO's paper: what each has in its columns and rows, as far as the sources tell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from baldro.analysis.frame import metric_names
from baldro.analysis.labels import REFERENCES
from baldro.report.style import grouped_by
from baldro.report.tables import PUBLISHED
from baldro.runs import Experiment


@dataclass(frozen=True, kw_only=True)
class Exhibit:
    """A table or figure of the paper."""

    title: str
    file: str
    """What the names of its files end in."""
    source: str = ""
    """Rows of published.csv that say its metrics, methods and numbers; empty: no number is transcribed."""
    field: str = ""
    """Of a figure: the field of a run whose values it compares."""

    @cached_property
    def numbers(self) -> pd.DataFrame:
        """The published numbers, in the order of the paper."""
        rows = pd.read_csv(PUBLISHED)
        return rows[rows["source"] == self.source]

    @property
    def metrics(self) -> tuple[str, ...]:
        """Its columns."""
        return tuple(dict.fromkeys(self.numbers["metric"]))

    def part(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows of its methods, with what they are held against; of a figure, of its split where the results have it."""
        if not self.source:
            return frame
        frame = frame[frame["objective"].isin({*REFERENCES, *self.numbers["objective"]})]
        own = frame[frame["split"].isin(set(self.numbers["forget"]))] if self.field else frame.head(0)
        return frame if own.empty else own


EXHIBITS = {
    "table_1": Exhibit(title="Table 1", file="table-1", source="baldro-table1"),
    "table_2": Exhibit(title="Table 2", file="table-2", source="baldro-table2"),
    "table_3": Exhibit(title="Table 3", file="table-3", source="baldro-table3"),
    "figure_3": Exhibit(title="Figure 3", file="figure-3", source="baldro-figure3", field="variant"),
    "figure_4": Exhibit(title="Figure 4", file="figure-4", field="dv_beta"),
    "figure_5": Exhibit(title="Figure 5", file="figure-5", field="retain_variant"),
    "percentiles": Exhibit(title="Appendix B", file="percentiles", field="g_fraction"),
}
"""By the key of a config's section `paper`."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """The runs of an exhibit that one rule of selection is for."""

    name: str
    """Key of EXHIBITS."""
    frame: pd.DataFrame
    rule: Mapping[str, object]

    @property
    def exhibit(self) -> Exhibit:
        return EXHIBITS[self.name]


def shown(frame: pd.DataFrame, exhibits: Mapping[str, Sequence[Experiment]]) -> list[Shown]:
    """What each exhibit shows: the runs of its experiments, of those with the same rule together.

    Args:
        frame: the long table of all of them.
        exhibits: key of EXHIBITS -> experiments.
    """
    found = []
    for name, experiments in exhibits.items():
        for own in grouped_by(experiments, lambda each: repr(each.selection)).values():
            ids = {run.id for each in own for run in each.runs}
            part = EXHIBITS[name].part(frame[frame["id"].isin(ids)])
            others = [metric for metric in metric_names(part) if part[metric].isna().all()]  # of other benchmarks
            found.append(Shown(name=name, frame=part.drop(columns=others), rule=own[0].selection))
    return found
