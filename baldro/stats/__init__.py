"""Uncertainty: intervals over seeds and over samples, paired tests, and how coarse forget quality is.

A seed is one run from the start; a sample is one row of a section. The two answer different questions: would another
training say the same, and would other rows. `mean_interval` and `paired_difference` are for seeds, `bootstrap_*` and
`permutation_test` for samples; `effect` and `total` say what crossed factors change, over seeds.

The shapes here: N samples (M of a second kind), K values of each, S seeds, n redraws.
"""

from baldro.stats.bootstrap import bootstrap_auc, bootstrap_harmonic, bootstrap_leak, bootstrap_mean
from baldro.stats.distance import bootstrap_ks
from baldro.stats.factorial import Effect, effect, total
from baldro.stats.forget_quality_values import ks_step, ks_values
from baldro.stats.intervals import Interval, mean_interval, paired_difference
from baldro.stats.paired import PairedTest, holm, permutation_test, swap_test

__all__ = [
    "Effect",
    "Interval",
    "PairedTest",
    "bootstrap_auc",
    "bootstrap_harmonic",
    "bootstrap_ks",
    "bootstrap_leak",
    "bootstrap_mean",
    "effect",
    "holm",
    "ks_step",
    "ks_values",
    "mean_interval",
    "paired_difference",
    "permutation_test",
    "swap_test",
    "total",
]
