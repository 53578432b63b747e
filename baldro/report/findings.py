"""What the numbers show, in plain sentences that claim no more than their intervals allow."""

from collections import Counter
from collections.abc import Iterable, Sequence

import pandas as pd

from baldro.analysis.comparisons import NOTHING, UNTESTED, Comparison
from baldro.analysis.frame import absent_of
from baldro.analysis.memory import memories
from baldro.analysis.significance import ALPHA, BETTER, WORSE
from baldro.metrics import shown
from baldro.metrics.metric import SENTENCE
from baldro.report.notes import absent_notes
from baldro.report.style import grouped_by
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
    groups = grouped_by(comparisons, lambda c: (c.benchmark, c.model, c.objective, c.variant))
    where = len({key[:2] for key in groups}) > 1
    sentences = []
    for own in groups.values():
        by_metric = [[c for c in own if c.metric == name] for name in shown(SENTENCE, {c.metric for c in own})]
        if by_metric:
            sentences.append(paragraph("findings", "differences", by_metric=by_metric, where=where, tally=tally))
    judged = sum(c.difference is not None and c.difference.low is not None for c in comparisons)
    tested = any(c.over_samples != UNTESTED for c in comparisons)
    cautions = {"over_samples": tested, "chance": judged >= 10, "chosen": chosen and bool(sentences)}
    said = [name for name, needed in cautions.items() if needed]
    return sentences + [paragraph("findings", name, judged=judged, alpha=ALPHA) for name in said]


def tally(verdicts: Iterable[str]) -> list[tuple[str, bool, int]]:
    """(verdict, whether it is one, how often) of several comparisons, better first."""
    counts = Counter(verdicts)
    place = {verdict: at for at, verdict in enumerate(ORDER)}
    return [(v, v in place, counts[v]) for v in sorted(counts, key=lambda v: place.get(v, len(ORDER)))]
