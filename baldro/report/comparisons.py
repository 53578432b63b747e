"""Robust variants held against their base: paired differences over the seeds that both have."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from baldro.report.frame import hyperparameter_names, is_method, values_of
from baldro.report.selection import point, select, varying
from baldro.report.style import method_label, metric, objective_rank, variant_rank
from baldro.stats import Interval, paired_difference

COMPARED = ("forget_quality_d", "model_utility", "forget_quality")
"""Metrics in which robust variants are held against base; the first two are put into words."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A robust variant minus base, in one metric, over the seeds that both have."""

    benchmark: str
    model: str
    split: str
    objective: str
    variant: str
    method: str
    """The robust method with the settings that tell it apart."""
    metric: str
    difference: Interval | None
    """Robust minus base; None where there is nothing to compare with."""

    @property
    def verdict(self) -> str:
        """better, worse, *no difference shown*, or why none can be given."""
        if self.difference is None:
            return "no base run to pair with"
        if self.difference.low is None:
            return "one seed: no interval can be given"
        if self.difference.low == self.difference.high:
            return "every seed alike: the interval has no width"
        if self.difference.low <= 0 <= self.difference.high:
            return "no difference shown"
        return "better" if (self.difference.mean > 0) == (metric(self.metric).better == "up") else "worse"


def compare(frame: pd.DataFrame, rule: Mapping[str, Any], *, level: float = 0.95) -> list[Comparison]:
    """Every shown point of a robust variant against base, paired over seeds.

    Its base is the one with equal settings (as far as both have them), or the one that the rule chose.
    """
    selected = select(frame, rule)
    rows = selected.frame[(selected.frame["status"] == "ok") & is_method(selected.frame)]
    found = []
    cells = ["benchmark", "model", "split", "objective"]
    for key, cell in rows.groupby(cells, sort=False):
        whole = frame[(frame["benchmark"] == key[0]) & (frame["model"] == key[1]) & (frame["objective"] == key[3])]
        fields = varying(whole)
        for values, robust in _points(cell[cell["variant"] != "base"]):
            base = _base(cell[cell["variant"] == "base"], robust, selected.by_point)
            shown = values_of(robust.iloc[0].to_dict(), fields)
            for name in (name for name in COMPARED if name in frame.columns):
                found.append(
                    Comparison(
                        **dict(zip(cells, key, strict=True)),
                        variant=values[0],
                        method=method_label(key[3], values[0], shown),
                        metric=name,
                        difference=_difference(robust, base, name, level),
                    )
                )
    return sorted(found, key=lambda c: (c.benchmark, c.model, objective_rank(c.objective), variant_rank(c.variant)))


def differences_table(comparisons: list[Comparison]) -> pd.DataFrame:
    """All comparisons as numbers, a row each: difference, ends of its interval, seeds, verdict."""
    rows = []
    for c in comparisons:
        d = c.difference
        numbers = {"difference": d.mean, "low": d.low, "high": d.high, "seeds": d.n} if d else {"seeds": 0}
        names = {k: getattr(c, k) for k in ("benchmark", "model", "split", "method", "objective", "variant", "metric")}
        rows.append({**names, "difference": None, "low": None, "high": None, **numbers, "verdict": c.verdict})
    return pd.DataFrame(rows)


def difference_text(comparison: Comparison) -> str:
    """*-0.050 [-0.081, -0.019]*, or the difference alone where there is no interval."""
    d = comparison.difference
    if d is None:
        return "not comparable"
    text = f"{d.mean:+.3f}"
    return text if d.low is None else f"{text} [{d.low:+.3f}, {d.high:+.3f}]"


def _points(rows: pd.DataFrame):
    names = hyperparameter_names(rows)
    keys = [(row["variant"], point(row, names)) for row in rows.to_dict("records")]
    for key in dict.fromkeys(keys):
        yield key, rows[[other == key for other in keys]]


def _base(candidates: pd.DataFrame, robust: pd.DataFrame, by_point: bool) -> pd.DataFrame | None:
    points = [rows for _, rows in _points(candidates)]
    if by_point:
        names = hyperparameter_names(candidates)
        own = values_of(robust.iloc[0].to_dict(), names)
        points = [rows for rows in points if _agree(values_of(rows.iloc[0].to_dict(), names), own)]
    return points[0] if len(points) == 1 else None


def _agree(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    return all(a[name] == b[name] for name in a if a[name] is not None and b[name] is not None)


def _difference(robust: pd.DataFrame, base: pd.DataFrame | None, name: str, level: float) -> Interval | None:
    if base is None:
        return None
    a, b = (dict(zip(rows["seed"], rows[name], strict=True)) for rows in (robust, base))
    a, b = ({seed: value for seed, value in side.items() if not pd.isna(value)} for side in (a, b))
    return paired_difference(a, b, level) if set(a) & set(b) else None
