"""Forget quality: can the unlearned model's truth ratios be told from a model's that never saw the forget set?

Source: TOFU (Maini et al. 2024, arXiv 2401.06121, "Forget Quality"). The p-value falls with the number of samples at a
fixed distance, and on 40 samples takes few values (D = k/40); so the distance D stands beside it.
"""

import warnings

from numpy.typing import ArrayLike
from scipy.stats import ks_2samp

from baldro.stats.arrays import finite_vector


def forget_quality(ratios: ArrayLike, retain_ratios: ArrayLike) -> float:
    """p-value of the two-sample, two-sided Kolmogorov-Smirnov test between the models' truth ratios.

    ratios: (N,) of the unlearned model; retain_ratios: (M,) of the retain model, both on the forget set, unaggregated.
    Returns p in [0, 1]; high = the test sees no difference. Raises BaldroError on NaN.

    >>> forget_quality([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    1.0
    """
    return float(_test(ratios, retain_ratios).pvalue)


def forget_quality_d(ratios: ArrayLike, retain_ratios: ArrayLike) -> float:
    """The statistic behind `forget_quality`: D = sup_x |F(x) - F_retain(x)| between the empirical distributions.

    Arguments and errors as `forget_quality`. Returns D in [0, 1]; low = alike.

    >>> forget_quality_d([1.0, 2.0, 3.0, 4.0], [3.5, 4.5, 5.5, 6.5])
    0.75
    """
    return float(_test(ratios, retain_ratios).statistic)


def _test(ratios: ArrayLike, retain_ratios: ArrayLike):
    ratios = finite_vector(ratios, "truth ratios")
    retain_ratios = finite_vector(retain_ratios, "the retain model's truth ratios")
    with warnings.catch_warnings():
        # For the smallest D above 0 scipy's exact sum can round to just above 1; it then warns and gives the asymptotic
        # value, 1 to within 4e-5. We keep that value: it is what everyone who calls ks_2samp reports.
        warnings.filterwarnings("ignore", message="ks_2samp: Exact calculation unsuccessful", category=RuntimeWarning)
        return ks_2samp(ratios, retain_ratios)
