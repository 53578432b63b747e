"""Model utility: what the model still knows outside the forget set, as one number.

Source: TOFU (Maini et al. 2024, arXiv 2401.06121, "Model Utility").
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from baldro.errors import BaldroError
from baldro.stats.arrays import finite_vector

PARTS = tuple(
    f"{section}_{metric}"
    for section in ("retain", "real_authors", "world_facts")
    for metric in ("probability", "rouge", "truth_ratio")
)


def harmonic_mean(values: ArrayLike) -> float:
    """H = 1 / mean_i(1 / x_i); 0 when any value is 0.

    values: (N,), >= 0. Returns a value between their minimum and maximum. Raises BaldroError on NaN or below 0.

    >>> harmonic_mean([1.0, 0.5]), harmonic_mean([1.0, 0.0])
    (0.6666666666666666, 0.0)
    """
    values = finite_vector(values, "harmonic mean")
    if (values < 0).any():
        raise BaldroError("number-out-of-range", f"harmonic mean: {values.min():g}; needs 0 or more")
    with np.errstate(divide="ignore", over="ignore"):  # 1/0 is infinite, and the mean then 0: what we want
        return float(1 / np.mean(1 / values))


def model_utility(values: Mapping[str, float]) -> float:
    """Harmonic mean of the nine numbers in `PARTS`: {probability, ROUGE-L recall, truth ratio} on {retain, real
    authors, world facts}.

    values: metric name -> value in [0, 1] (others are not looked at). Returns a value in [0, 1]. Raises BaldroError
    when one of the nine is missing or NaN.

    >>> round(model_utility(dict.fromkeys(PARTS, 0.6)), 6)
    0.6
    """
    missing = [name for name in PARTS if name not in values]
    if missing:
        raise BaldroError("value-missing", f"model utility: no value for {', '.join(missing)}")
    return harmonic_mean([values[name] for name in PARTS])
