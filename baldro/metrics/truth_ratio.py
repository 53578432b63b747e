"""Truth ratio: how much likelier wrong answers are than the correct one, and its two aggregates.

Source: TOFU (Maini et al. 2024, arXiv 2401.06121, "Truth Ratio"), as the published logs compute it.
Known mismatch: the paper's formula averages the wrong answers' probabilities; the logs, and we, average their losses,
a geometric mean.
"""

import numpy as np
from numpy.typing import ArrayLike

from baldro.metrics.arrays import finite_matrix, finite_vector, same_length
from baldro.metrics.probability import EPSILON


def truth_ratio(correct_loss: ArrayLike, wrong_loss: ArrayLike) -> np.ndarray:
    """r_i = exp(-mean_j wrong_loss_ij) / (exp(-correct_loss_i) + 1e-10), per sample.

    correct_loss: (N,), nats per token, of the paraphrased answer (forget, retain) or the answer (real authors, world
    facts); wrong_loss: (N, K). Returns (N,), >= 0: 0 knows the truth, 1 cannot tell. Raises BaldroError on NaN or
    unequal N.

    >>> truth_ratio([1.0, 1.0], [[1.0, 1.0], [2.0, 4.0]]).round(6).tolist()
    [1.0, 0.135335]
    """
    correct_loss, wrong_loss = finite_vector(correct_loss, "correct loss"), finite_matrix(wrong_loss, "wrong loss")
    same_length(correct_loss, wrong_loss, "truth_ratio")
    return np.exp(-wrong_loss.mean(axis=1)) / (np.exp(-correct_loss) + EPSILON)


def forget_truth_ratio(ratios: ArrayLike) -> float:
    """Aggregate on the forget set: mean_i min(r_i, 1 / (r_i + 1e-10)).

    ratios: (N,). Returns a value in [0, 1]; 1 when no sample tells right from wrong. Raises BaldroError on NaN.

    >>> round(forget_truth_ratio([0.5, 2.0]), 6)
    0.5
    """
    ratios = finite_vector(ratios, "truth ratios")
    return float(np.mean(np.minimum(ratios, 1 / (ratios + EPSILON))))


def utility_truth_ratio(ratios: ArrayLike) -> float:
    """Aggregate on sets the model should still know: mean_i max(0, 1 - r_i).

    ratios: (N,). Returns a value in [0, 1]; 1 when every truth stands far above the wrong answers. Raises BaldroError
    on NaN.

    >>> utility_truth_ratio([0.5, 2.0])
    0.25
    """
    return float(np.mean(np.maximum(0, 1 - finite_vector(ratios, "truth ratios"))))
