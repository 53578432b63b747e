"""What a table's rows do not say: chosen points, seeds that are lost, metrics that are absent, and how fine D can be."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from baldro.analysis.frame import absent_of, is_method, places, values_of
from baldro.analysis.labels import REFERENCES, hyperparameter_label, method_label, metric, plain
from baldro.analysis.rows import Row, methods, outcome
from baldro.analysis.selection import Selected, point, varying
from baldro.report.style import counted, listed, number
from baldro.stats import ks_step, ks_values

SMALL = 40 * 40
"""Largest product of the two sample sizes at which the values of p are listed."""
MOST = 20
"""Most values of p that are listed."""


def point_notes(part: pd.DataFrame, whole: pd.DataFrame, selected: Selected) -> Iterator[str]:
    """The point that the rule chose for each split, and means that lack some seeds."""
    for objective, variant in methods(part):
        fields = varying(whole[whole["objective"] == objective])
        own = part[(part["objective"] == objective) & (part["variant"] == variant)]
        keys = places((row["split"], point(row, fields)) for row in own.to_dict("records"))
        for (split, _), at in keys.items():
            rows = own.iloc[at]
            done, lost = rows[rows["status"] == "ok"], rows[rows["status"] != "ok"]
            values = values_of(rows.iloc[0].to_dict(), fields)
            if len(done) and any(value is not None for value in values.values()) and not selected.by_point:
                yield f"{method_label(objective, variant)}, {split}: the rule chose {hyperparameter_label(values)}."
            if len(done) and len(lost):
                reasons = "; ".join(f"seed {plain(row['seed'])} {outcome(row)}" for row in lost.to_dict("records"))
                label = method_label(objective, variant, values)
                yield f"{label}, {split}: the mean is of {len(done)} of {len(rows)} seeds ({reasons})."


def absent_notes(part: pd.DataFrame, whole: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """Which of the metrics `names` are absent, from which rows and why: a sentence a reason."""
    done = part[part["status"] == "ok"].to_dict("records")
    fields = {name: varying(whole[whole["objective"] == name]) for name in dict.fromkeys(whole["objective"])}
    rows_of: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in done:
        for name, reason in absent_of(row).items():
            if name in names:
                rows_of.setdefault((name, reason), []).append(row)
    metrics_of: dict[tuple[str, str], list[str]] = {}
    for (name, reason), rows in rows_of.items():
        metrics_of.setdefault((reason, _whose(rows, done, fields)), []).append(name)
    return [
        f"Absent {whose}: {'; '.join(metric(name).label for name in own)} ({reason.rstrip('.')})."
        for (reason, whose), own in metrics_of.items()
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
        who = f"{n} samples" if n == m else f"{n} samples and {m} of Retain"
        several = any(cell.n > 1 for _, cell in cells)
        near = _near([(row, cell.mean) for row, cell in cells], 2 * ks_step(n, m) - 1e-9, several)
        yield f"{split}: with {who} D of one run moves in steps of {ks_step(n, m):.4g}{_values(n, m)}.{near}"


def _values(n: int, m: int) -> str:
    """The values that p can take, where there are few."""
    if n * m > SMALL:
        return ""
    values = list(dict.fromkeys(f"{p:.4f}" for _, p in ks_values(n, m) if 0.001 <= p < 0.9995))
    if len(values) > MOST:
        return f", and p takes one of {len(values)} values between 0.001 and 1"
    return f", and p can take only these values from 0.001 to 1: 1, {', '.join(values)}"


def _near(distances: list[tuple[Row, float]], width: float, several: bool) -> str:
    """The robust rows less than `width` from their base, and the best from the second best."""
    near = [
        row.label
        for row, d in distances
        if row.variant != "base" and any(_is_base(base, row) and abs(other - d) < width for base, other in distances)
    ]
    parts = [f"from their base: {listed(near)}"] if near else []
    best = sorted(distances, key=lambda pair: pair[1])[:2]
    if len(best) == 2 and best[1][1] - best[0][1] < width:
        parts.append(f"best from second best: {' and '.join(f'{row.label} ({number(d)})' for row, d in best)}")
    of = ", by their means over seeds" if several else ""
    return f" Less than two steps apart in D{of}: {'; '.join(parts)}." if parts else ""


def _is_base(base: Row, robust: Row) -> bool:
    """Whether `base` is the row without the robust variant: of one objective, and alike in the settings both have."""
    own, other = base.hyperparameters, robust.hyperparameters
    same = base.objective == robust.objective and base.variant == "base"
    return same and all(own[name] == other[name] for name in own if name in other)


def _whose(rows: list[dict[str, Any]], done: list[dict[str, Any]], fields: Mapping[str, list[str]]) -> str:
    """*from every row*, *from every row of forget10*, or the rows by name."""
    splits = list(dict.fromkeys(row["split"] for row in rows))
    everywhere = len(splits) == len({row["split"] for row in done})
    of = "" if everywhere else f" of {listed(splits)}"
    if len(rows) == sum(row["split"] in splits for row in done):
        return f"from every row{of}"
    labels = dict.fromkeys(
        method_label(row["objective"], row["variant"], values_of(row, fields[row["objective"]])) for row in rows
    )
    names = list(labels)
    more = [counted(len(names) - 4, "other row")] if len(names) > 4 else []
    return f"from {listed([*names[:4], *more])}{of}"
