"""Truth ratio: how much likelier wrong answers are than the correct one, and its aggregates.

Source: TOFU (Maini et al. 2024, arXiv 2401.06121, "Truth Ratio"), as the published logs compute it.
Known mismatch: the paper's formula averages the wrong answers' probabilities; the logs, and we, average their losses,
a geometric mean.
"""

import numpy as np
from numpy.typing import ArrayLike

from baldro.metrics.probability import EPSILON
from baldro.stats.arrays import finite_matrix, finite_vector, same_length


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


def closer_to_one(ratios: ArrayLike) -> np.ndarray:
    """For what should be forgotten: min(r_i, 1 / (r_i + 1e-10)), whose mean is the forget truth ratio.

    ratios: (N,). Returns (N,) in [0, 1]; 1 when right and wrong are equally likely. Raises BaldroError on NaN.

    >>> closer_to_one([0.5, 2.0]).round(6).tolist()
    [0.5, 0.5]
    """
    ratios = finite_vector(ratios, "truth ratios")
    return np.minimum(ratios, 1 / (ratios + EPSILON))


def true_better(ratios: ArrayLike) -> np.ndarray:
    """For what the model should still know: max(0, 1 - r_i), whose mean is the truth ratio of the other sections.

    ratios: (N,). Returns (N,) in [0, 1]; 1 when the truth stands far above the wrong answers. Raises BaldroError on NaN.

    >>> true_better([0.5, 2.0]).tolist()
    [0.5, 0.0]
    """
    return np.maximum(0, 1 - finite_vector(ratios, "truth ratios"))
