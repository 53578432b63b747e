"""What the numbers show, in plain sentences that claim no more than their intervals allow."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from baldro.metrics import shown
from baldro.metrics.metric import MEMORY, SENTENCE, TRADEOFF_Y
from baldro.report.frame import absent_of, interval_of
from baldro.report.notes import absent_notes
from baldro.report.style import ends_text, method_label, metric, metric_number, number
from baldro.report.verdicts import ALPHA, NOTHING, UNTESTED, Comparison, difference_text, samples_text
from baldro.stats import ks_step

ORDER = ("better", "worse", NOTHING)
"""Verdicts, as they are told."""
TOLD_APART = 0.05
"""The p-value below which Maini et al. (TOFU, 2024) call a model distinguishable from Retain."""


def memory_findings(part: pd.DataFrame) -> list[str]:
    """Did the target memorise what is to be forgotten? A paragraph per split. part: one benchmark and model."""
    return [_memory(split, rows) for split, rows in part.groupby("split", sort=False)]


def absent_findings(part: pd.DataFrame) -> list[str]:
    """Every metric that could not be computed, where and why. part: one benchmark and model."""
    names = dict.fromkeys(name for row in part.to_dict("records") for name in absent_of(row))
    return absent_notes(part, part, list(names))


def difference_findings(comparisons: list[Comparison], *, chosen: bool = False) -> list[str]:
    """Does a robust variant differ from base? A sentence per model, objective and variant, then what to be wary of.

    chosen: the points were chosen on the numbers that are compared.
    """
    groups: dict[tuple[str, ...], list[Comparison]] = {}
    for c in comparisons:
        groups.setdefault((c.benchmark, c.model, c.objective, c.variant), []).append(c)
    several = len({key[:2] for key in groups}) > 1
    sentences = []
    for (benchmark, model, objective, variant), own in groups.items():
        where = f" ({benchmark}, {model})" if several else ""
        parts = [text for name in shown(SENTENCE) if (text := _verdicts([c for c in own if c.metric == name]))]
        pair = f"{method_label(objective, variant)} against {method_label(objective, 'base')}{where}"
        if parts:
            sentences.append(f"{pair}: {'; '.join(parts)}.")
    if any(c.over_samples != UNTESTED for c in comparisons):
        sentences.append(
            "Over seeds: would another training say the same? Over samples: would other rows, independent of each other, of "
            f"these very models? That is a permutation test on each sample's values (level {ALPHA:g}; p adjusted by Holm's "
            "method within a metric, not across metrics)."
        )
    judged = sum(c.difference is not None and c.difference.low is not None for c in comparisons)
    if judged >= 10:
        chance = (
            f"Of {judged} intervals over seeds about {0.05 * judged:.0f} would miss 0 by chance if nothing differed"
        )
        sentences.append(f"{chance}; points that share a base or a seed are not independent.")
    if chosen and sentences:
        sentences.append(
            "Each side is the point that the rule chose on these very numbers; a variant with more points to choose from is "
            "flattered more, which neither the intervals nor the p-values account for."
        )
    return sentences


def _memory(split: str, rows: pd.DataFrame) -> str:
    models = {name: rows[(rows["objective"] == name) & (rows["status"] == "ok")] for name in ("original", "retain")}
    lost = [name.capitalize() for name, own in models.items() if own.empty]
    if lost:
        return f"{split}: no result of {' and '.join(lost)}, so it is not known what there is to unlearn."
    original, retain = (own.iloc[0].to_dict() for own in models.values())
    named = [name for name in shown(MEMORY) if not pd.isna(original.get(name)) and not pd.isna(retain.get(name))]
    text = f"{split}: " + "; ".join(
        f"{metric(name).label} {_with_interval(original, name)} for Original and {_with_interval(retain, name)} for Retain"
        for name in named
    )
    text += " (95 % intervals over samples)" if any(interval_of(original, name) for name in named) else ""
    quality = next(iter(shown(TRADEOFF_Y, rows.columns)), None)
    p = original.get(quality) if quality and metric(quality).p_value else None
    if p is None or pd.isna(p):
        alike = [
            metric(name).label for name in named if _overlap(interval_of(original, name), interval_of(retain, name))
        ]
        return f"{text}." + (
            f" Original is not shown to know more than Retain in: {', '.join(alike)}." if alike else ""
        )
    distance = _distance(original, retain, metric(quality).statistic_behind)
    text += f". Forget quality of Original is p = {number(p, p_value=True)}{distance}. "
    if p < TOLD_APART:
        return text + "The two models are told apart: there is something to unlearn."
    return text + "The two models are not told apart, so here forget quality cannot show that anything was unlearned."


def _overlap(one: tuple[float, float] | None, other: tuple[float, float] | None) -> bool:
    return one is not None and other is not None and one[0] <= other[1] and other[0] <= one[1]


def _with_interval(row: Mapping[str, Any], name: str) -> str:
    """*0.980 [0.97, 0.99]*."""
    ends = interval_of(row, name)
    text = metric_number(row[name], name)
    return text if ends is None else f"{text} {ends_text(*ends, name)}"


def _distance(original: Mapping[str, Any], retain: Mapping[str, Any], name: str) -> str:
    d = original.get(name)
    if d is None or pd.isna(d):
        return ""
    ends = interval_of(original, name)
    interval = f", 95 % interval over samples {ends[0]:.3f} to {ends[1]:.3f}" if ends else ""
    sizes = [row.get("forget_rows") for row in (original, retain)]
    if any(size is None or pd.isna(size) for size in sizes):
        return f" (D = {d:.3f}{interval})"
    n, m = map(int, sizes)
    return f" (D = {d:.3f}{interval}; on {n} samples D moves in steps of {ks_step(n, m):.2g})"


def _verdicts(own: list[Comparison]) -> str:
    """All comparisons of one method in one metric, in words."""
    if not own:
        return ""
    name = metric(own[0].metric).label
    if len(own) == 1:
        only = own[0]
        if only.difference is None:
            return f"{name}: {only.verdict}"
        seeds = f" over {only.difference.n} shared seeds" if only.difference.n > 1 else ""
        test = f", {text}" if (text := samples_text(only)) else ""
        return f"{name}: {difference_text(only)} on {only.split}{seeds} ({only.verdict}{test})"
    values = [c.difference.mean for c in own if c.difference]
    span = f"; differences {min(values):+.3f} to {max(values):+.3f}" if values else ""
    text = f"{name} ({len(own)} comparisons{span}): over seeds {_tally(c.over_seeds for c in own)}"
    answers = [c.over_samples for c in own if c.over_samples != UNTESTED]
    return f"{text}; over samples {_tally(answers)}" if answers else text


def _tally(verdicts: Iterable[str]) -> str:
    """*better in 3, no difference shown in 5*."""
    counts = Counter(verdicts)
    words = [f"{v} in {n}" if v in ORDER else f"no verdict in {n} ({v})" for v, n in counts.items()]
    return ", ".join(word for _, word in sorted(zip(map(_place, counts), words, strict=True)))


def _place(verdict: str) -> int:
    return ORDER.index(verdict) if verdict in ORDER else len(ORDER)
