"""What the numbers show, in plain sentences that claim no more than their intervals allow."""

from collections import Counter
from collections.abc import Mapping

import pandas as pd

from baldro.errors import BaldroError
from baldro.report.comparisons import COMPARED, Comparison, difference_text
from baldro.report.evidence import Known
from baldro.report.style import REFERENCES, method_label, metric, number
from baldro.stats import bootstrap_ks

ORDER = ("better", "worse", "no difference shown")
"""Verdicts, as they are told."""
TOLD_APART = 0.05
"""The p-value below which Maini et al. (TOFU, 2024) call a model distinguishable from Retain."""


def memory_findings(part: pd.DataFrame, known: Mapping[str, Mapping[str, Known]]) -> list[str]:
    """Did the target memorise what is to be forgotten? A paragraph per split. part: one benchmark and model."""
    return [_memory(split, rows, known.get(split)) for split, rows in part.groupby("split", sort=False)]


def difference_findings(comparisons: list[Comparison]) -> list[str]:
    """Does a robust variant differ from base? A sentence per model, objective and variant, then what to be wary of."""
    groups: dict[tuple[str, ...], list[Comparison]] = {}
    for c in comparisons:
        groups.setdefault((c.benchmark, c.model, c.objective, c.variant), []).append(c)
    several = len({key[:2] for key in groups}) > 1
    sentences = []
    for (benchmark, model, objective, variant), own in groups.items():
        where = f" ({benchmark}, {model})" if several else ""
        parts = [text for name in COMPARED[:2] if (text := _verdicts([c for c in own if c.metric == name]))]
        pair = f"{method_label(objective, variant)} against {method_label(objective, 'base')}{where}"
        sentences.append(f"{pair}: {'; '.join(parts)}.")
    judged = sum(c.difference is not None and c.difference.low is not None for c in comparisons)
    if judged >= 10:
        chance = f"Of {judged} such intervals about {0.05 * judged:.0f} would miss 0 by chance if nothing differed"
        sentences.append(f"{chance}; points that share a base or a seed are not independent.")
    return sentences


def _memory(split: str, rows: pd.DataFrame, known: Mapping[str, Known] | None) -> str:
    models = {name: rows[(rows["objective"] == name) & (rows["status"] == "ok")] for name in ("original", "retain")}
    lost = [name.capitalize() for name, own in models.items() if own.empty]
    if lost:
        return f"{split}: no result of {' and '.join(lost)}, so it is not known what there is to unlearn."
    means = {name: own.mean(numeric_only=True) for name, own in models.items()}
    shown = [name for name in ("forget_probability", "exact_memorization", "forget_rouge") if name in rows.columns]
    text = f"{split}: " + "; ".join(
        f"{metric(name).label} {means['original'][name]:.3f} for Original and {means['retain'][name]:.3f} for Retain"
        for name in shown
    )
    p = means["original"].get("forget_quality")
    if p is None or pd.isna(p):
        return f"{text}."
    d = _distance(means["original"], known, split)
    text += f". Forget quality of Original is p = {number(p, p_value=True)}{d}. "
    if p < TOLD_APART:
        return text + "The two models are told apart: there is something to unlearn."
    return text + "The two models are not told apart, so here forget quality cannot show that anything was unlearned."


def _distance(original: pd.Series, known: Mapping[str, Known] | None, split: str) -> str:
    recorded = original.get("forget_quality_d")
    if not known or known["original"].truth_ratio is None:
        return "" if recorded is None else f" (D = {recorded:.3f})"
    ratios = [known[name].truth_ratio for name in REFERENCES]
    interval, n = bootstrap_ks(*ratios, seed=0), len(ratios[0])
    if recorded is not None and abs(recorded - interval.mean) > 1e-6:
        raise BaldroError(
            f"{split}: metrics.json of Original has D = {recorded:.6g} but its samples.parquet and Retain's give "
            f"{interval.mean:.6g}; allowed: metrics made from the evidence that is there (run the metrics again)"
        )
    ends = "" if interval.low is None else f", 95 % interval over samples {interval.low:.3f} to {interval.high:.3f}"
    return f" (D = {interval.mean:.3f}{ends}; one of {n} samples moves D by up to {1 / n:.2g})"


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
        return f"{name} differs by {difference_text(only)} on {only.split}{seeds} ({only.verdict})"
    counts = Counter(c.verdict for c in own)
    words = [f"{v} in {n}" if v in ORDER else f"no verdict in {n} ({v})" for v, n in counts.items()]
    words = [word for _, word in sorted(zip(map(_place, counts), words, strict=True))]
    values = [c.difference.mean for c in own if c.difference]
    span = f"; differences {min(values):+.3f} to {max(values):+.3f}" if values else ""
    return f"{name} ({len(own)} comparisons{span}): {', '.join(words)}"


def _place(verdict: str) -> int:
    return ORDER.index(verdict) if verdict in ORDER else len(ORDER)
