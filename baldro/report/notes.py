"""What a table's rows do not say: chosen points, seeds that are lost, metrics that are absent, and how fine D can be."""

from collections.abc import Iterator, Sequence

import pandas as pd

from baldro.analysis.frame import absent_of, is_method, values_of
from baldro.analysis.labels import REFERENCES, hyperparameter_label, method_label
from baldro.analysis.rows import Row, methods
from baldro.analysis.selection import Selected, points, varying
from baldro.report.style import grouped_by
from baldro.report.words import paragraph
from baldro.stats import ks_step, ks_values

SMALL = 40 * 40
"""Largest product of the two sample sizes at which the values of p are listed."""


def point_notes(part: pd.DataFrame, whole: pd.DataFrame, selected: Selected) -> Iterator[str]:
    """The point that the rule chose for each split, and means that lack some seeds."""
    for objective, variant in methods(part):
        fields = varying(whole[whole["objective"] == objective])
        own = part[(part["objective"] == objective) & (part["variant"] == variant)]
        for (split, _), rows in own.groupby(["split", points(own, fields)], sort=False):
            done, lost = rows[rows["status"] == "ok"], rows[rows["status"] != "ok"]
            settings = hyperparameter_label(values := values_of(rows.iloc[0], fields))
            if len(done) and settings and not selected.by_point:
                label = method_label(objective, variant)
                yield paragraph("notes", "chosen", label=label, split=split, settings=settings)
            if len(done) and len(lost):
                found = {"done": len(done), "of": len(rows), "lost": lost.to_dict("records")}
                yield paragraph("notes", "lost", label=method_label(objective, variant, values), split=split, **found)


def absent_notes(part: pd.DataFrame, whole: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """Which of the metrics `names` are absent, from which rows and why: a sentence a reason."""
    done = part[part["status"] == "ok"].to_dict("records")
    fields = {name: varying(own) for name, own in whole.groupby("objective")}
    every = len({row["split"] for row in done})
    absent = [(name, reason, row) for row in done for name, reason in absent_of(row).items() if name in names]
    found = {}
    for (name, reason), own in grouped_by(absent, lambda each: each[:2]).items():
        rows = [row for *_, row in own]
        splits = tuple(dict.fromkeys(row["split"] for row in rows))
        labels = dict.fromkeys(
            method_label(row["objective"], row["variant"], values_of(row, fields[row["objective"]])) for row in rows
        )
        all_of_them = len(rows) == sum(row["split"] in splits for row in done)
        key = reason, () if all_of_them else tuple(labels), () if len(splits) == every else splits
        found.setdefault(key, []).append(name)
    return [
        paragraph("notes", "absent", names=own, reason=reason, labels=labels, splits=splits)
        for (reason, labels, splits), own in found.items()
    ]


def lattice_notes(rows: Sequence[Row], whole: pd.DataFrame, splits: Sequence[str], name: str) -> Iterator[str]:
    """Per split, the step in which D moves, the values that p can take, and what stands less than two steps apart."""
    for split in splits:
        sized = whole[(whole["split"] == split) & whole["forget_rows"].notna()]
        sizes = sized[is_method(sized)]["forget_rows"], sized[sized["objective"] == "retain"]["forget_rows"]
        key = split, name
        cells = [(row, row.cells[key]) for row in rows if row.objective not in REFERENCES and key in row.cells]
        if not cells or any(own.empty for own in sizes):
            continue
        n, m = (int(own.iloc[0]) for own in sizes)
        few = ks_values(n, m) if n * m <= SMALL else ()
        values = list(dict.fromkeys(f"{p:.4f}" for _, p in few if 0.001 <= p < 0.9995))
        near, best = _near([(row, cell.mean) for row, cell in cells], 2 * ks_step(n, m) - 1e-9)
        several = any(cell.n > 1 for _, cell in cells)
        found = {"values": values, "near": near, "best": best, "several": several}
        yield paragraph("notes", "lattice", split=split, sizes=(n, m), **found)


def _near(distances: list[tuple[Row, float]], width: float) -> tuple[list[str], list[tuple[Row, float]]]:
    """Labels of the robust rows less than `width` from their base; the best and the second best, if they are no further apart."""
    near = [
        row.label
        for row, d in distances
        if row.variant != "base" and any(_is_base(base, row) and abs(other - d) < width for base, other in distances)
    ]
    best = sorted(distances, key=lambda pair: pair[1])[:2]
    return near, best if len(best) == 2 and best[1][1] - best[0][1] < width else []


def _is_base(base: Row, robust: Row) -> bool:
    """Whether `base` is the row without the robust variant: of one objective, and alike in the settings both have."""
    own, other = base.hyperparameters, robust.hyperparameters
    same = base.objective == robust.objective and base.variant == "base"
    return same and all(own[name] == other[name] for name in own if name in other)
