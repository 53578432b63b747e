"""What the numbers show, in plain sentences that claim no more than their intervals allow."""

from collections import Counter
from collections.abc import Iterable, Sequence

import pandas as pd

from baldro.analysis.comparisons import NOTHING, UNTESTED, Comparison
from baldro.analysis.frame import absent_of
from baldro.analysis.labels import method_label, metric
from baldro.analysis.memory import memories
from baldro.analysis.significance import ALPHA, BETTER, WORSE
from baldro.metrics import shown
from baldro.metrics.metric import SENTENCE
from baldro.report.notes import absent_notes
from baldro.report.style import number
from baldro.report.words import paragraph

ORDER = (BETTER, WORSE, NOTHING)
"""Verdicts, as they are counted."""


def lead(frame: pd.DataFrame, comparisons: Sequence[Comparison], *, chosen: bool = False) -> str:
    """What a reader can use, in a sentence or two: is there something to unlearn, and do robust variants differ from their base?"""
    found = [m for _, part in frame.groupby(["benchmark", "model"], sort=False) for m in memories(part)]
    tally = {}
    for name in shown(SENTENCE, {c.metric for c in comparisons}):
        settled = [c.settled for c in comparisons if c.metric == name and c.difference is not None]
        if settled:
            tally[name] = {"n": len(settled), **{word: settled.count(word) for word in (BETTER, WORSE)}}
    return paragraph("findings", "lead", memories=found, tally=tally, chosen=chosen)


def memory_findings(part: pd.DataFrame) -> list[str]:
    """Did the target memorise what is to be forgotten? A paragraph per split. part: one benchmark and model."""
    return [paragraph("findings", "memory", m=memory) for memory in memories(part)]


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
        sentences.append(paragraph("findings", "over_samples", alpha=ALPHA))
    judged = sum(c.difference is not None and c.difference.low is not None for c in comparisons)
    if judged >= 10:
        sentences.append(paragraph("findings", "chance", judged=judged, alpha=ALPHA))
    if chosen and sentences:
        sentences.append(paragraph("findings", "chosen"))
    return sentences


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


def difference_text(comparison: Comparison) -> str:
    """*-0.050 [-0.081, -0.019]*, or the difference alone where there is no interval."""
    d = comparison.difference
    if d is None:
        return "not comparable"
    text = f"{d.mean:+.3f}"
    return text if d.low is None else f"{text} [{d.low:+.3f}, {d.high:+.3f}]"


def samples_text(comparison: Comparison) -> str:
    """*p 0.0030, d_z -0.41*: the adjusted p over samples, and the effect where there is one; empty where not tested."""
    if not comparison.tested:
        return ""
    effect = comparison.test.effect
    return f"p {number(comparison.p_holm, p_value=True)}" + ("" if effect is None else f", d_z {effect:+.2f}")
