"""Probability of the answer, per token.

Source: TOFU (Maini et al. 2024, arXiv 2401.06121, "Probability"), with the constant of the published logs. The logs
took exp in single precision on a GPU: from their `avg_loss` their `prob` comes back to 2e-7, not to the bit.
"""

import numpy as np
from numpy.typing import ArrayLike

from baldro.stats.arrays import finite_matrix, finite_vector, same_length

EPSILON = 1e-10  # of the published logs, in every denominator


def probability(avg_loss: ArrayLike) -> np.ndarray:
    """Length-normalised probability of each answer: P(a|q)^(1/|a|) = exp(-avg_loss).

    avg_loss: (N,), cross-entropy in nats per answer token. Returns (N,) in [0, 1]. Raises BaldroError on NaN.

    >>> probability([0.0, 0.6931471805599453]).round(6).tolist()
    [1.0, 0.5]
    """
    return np.exp(-finite_vector(avg_loss, "avg_loss"))


def normalised_probability(correct: ArrayLike, wrong: ArrayLike) -> np.ndarray:
    """Share of the correct answer among its options: p / (p + sum_j p_j + 1e-10).

    correct: (N,) probabilities of the right answer; wrong: (N, K), of the wrong ones. Returns (N,) in [0, 1).
    Used where answers are multiple choice: real authors and world facts. Raises BaldroError on NaN or unequal N.

    >>> normalised_probability([0.2], [[0.1, 0.1]]).round(6).tolist()
    [0.5]
    """
    correct, wrong = finite_vector(correct, "correct probability"), finite_matrix(wrong, "wrong probability")
    same_length(correct, wrong, "normalised_probability")
    return correct / (correct + wrong.sum(axis=1) + EPSILON)
