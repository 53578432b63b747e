"""What one comparison of a robust variant with its base says: over seeds, over samples, and both in words."""

from dataclasses import dataclass

import pandas as pd

from baldro.report.style import metric, number
from baldro.stats import Interval, PairedTest

ALPHA = 0.05
"""The level of both answers."""
NOTHING = "no difference shown"
UNTESTED = "not tested"


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
    """Robust minus base, over seeds; None where there is nothing to compare with."""
    test: PairedTest | None = None
    """Robust against base, over samples; None where the metric has no values per sample, or for the reason `untested`."""
    untested: str | None = None
    """Why it was not tested though there are values per sample, *512 comparisons need more than 9,999 relabellings*."""
    p_holm: float | None = None
    """The test's p, adjusted for the other comparisons."""

    @property
    def over_seeds(self) -> str:
        """better, worse, *no difference shown*, or why no verdict can be given."""
        if self.difference is None:
            return "no base run to pair with"
        if self.difference.low is None:
            return "one seed: no interval can be given"
        if self.difference.low == self.difference.high:
            return "every seed alike: the interval has no width"
        if self.difference.low <= 0 <= self.difference.high:
            return NOTHING
        return self._word(self.difference.mean)

    @property
    def tested(self) -> bool:
        """Whether there is an answer over samples."""
        return self.test is not None and self.p_holm is not None

    @property
    def over_samples(self) -> str:
        """As `over_seeds`, by the adjusted p; *not tested* where there is none, with the reason `untested`."""
        if not self.tested:
            return f"{UNTESTED}: {self.untested}" if self.untested else UNTESTED
        return self._word(self.test.difference) if self.p_holm < ALPHA else NOTHING

    @property
    def verdict(self) -> str:
        """Both answers in a few words."""
        seeds, samples = self.over_seeds, self.over_samples
        if samples == UNTESTED:
            return seeds
        if seeds == samples:
            return f"{seeds} over seeds and over samples"
        return f"over seeds {seeds}; over samples {samples}"

    @property
    def settled(self) -> str | None:
        """better or worse where the seeds say so and the samples, if tested, say the same; else None."""
        agreed = not self.tested or self.over_samples == self.over_seeds
        return self.over_seeds if agreed and self.over_seeds in ("better", "worse") else None

    def _word(self, difference: float) -> str:
        direction = metric(self.metric).better
        if not direction:
            return "higher" if difference > 0 else "lower"
        return "better" if (difference > 0) == (direction == "up") else "worse"


def differences_table(comparisons: list[Comparison]) -> pd.DataFrame:
    """All comparisons as numbers, a row each.

    difference, low, high, seeds: over seeds; p_samples, p_holm, effect (Cohen's d_z), samples: over samples, empty and 0 where
    not tested, for which over_samples gives the reason if the metric has values per sample.
    """
    rows = []
    for c in comparisons:
        d, t = c.difference, c.test
        names = {k: getattr(c, k) for k in ("benchmark", "model", "split", "method", "objective", "variant", "metric")}
        seeds = {"difference": d and d.mean, "low": d and d.low, "high": d and d.high, "seeds": d.n if d else 0}
        tested = {"p_samples": t and t.p, "p_holm": c.p_holm, "effect": t and t.effect, "samples": t.n if t else 0}
        words = {"over_seeds": c.over_seeds, "over_samples": c.over_samples, "verdict": c.verdict}
        rows.append(names | seeds | tested | words)
    return pd.DataFrame(rows)


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
