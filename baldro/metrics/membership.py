"""Membership inference: can a score tell the forget set (members) from texts that no model saw (holdout)?

Every score is low for members. Sources: loss, Yeom et al. 2018 (arXiv 1709.01604); zlib, Carlini et al. 2021 (arXiv
2012.07805); min-k, Shi et al. 2024 (arXiv 2310.16789); min-k++, Zhang et al. 2024 (arXiv 2404.02936); PrivLeak, MUSE (Shi et
al. 2024, arXiv 2407.06460). Constants as in the published logs: k = 40 %, variances at least 1e-6. The loss and zlib scores count
the end of sequence, min-k, min-k++ and the gradient norm do not.
Known mismatch: the logs compress TOFU's answers as a tokenizer gives them back, with spaces before punctuation cleaned up; we the
answers as they are. One of forget10's 400 differs, by a byte.
"""

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from baldro.errors import BaldroError
from baldro.metrics.probability import EPSILON
from baldro.stats.arrays import finite_vector, same_length

LOWEST = 0.4  # min-k: share of the tokens that are looked at
SMALLEST_DEVIATION = 1e-3  # min-k++: where the model is certain, log-probabilities hardly deviate
CHANCE = 0.5


def min_k(logp: Sequence[ArrayLike], *, fraction: float = LOWEST) -> np.ndarray:
    """Minus the mean log-probability of each answer's least likely tokens.

    logp: N lists of n_i >= 1 token log-probabilities, nats. The max(1, floor(fraction n_i)) lowest are looked at, so an
    answer of one token gives that token. Returns (N,), 0 or more. Raises BaldroError on an empty list or NaN.

    >>> min_k([[-1.0, -2.0, -6.0, -4.0, -3.0], [-0.5]]).tolist()
    [5.0, 0.5]
    """
    if not 0 < fraction <= 1:
        raise BaldroError("number-out-of-range", f"min-k: fraction = {fraction}; needs a share above 0, at most 1")
    rows = [finite_vector(row, f"log-probabilities of sample {i}") for i, row in enumerate(logp)]
    return np.array([-np.sort(row)[: max(1, int(len(row) * fraction))].mean() for row in rows], dtype=np.float64)


def min_k_plus_plus(
    logp: Sequence[ArrayLike], mu: Sequence[ArrayLike], sigma: Sequence[ArrayLike], *, fraction: float = LOWEST
) -> np.ndarray:
    """`min_k` of standardised log-probabilities (log p - mu) / max(sigma, 1e-3).

    mu, sigma: as logp, mean and standard deviation of log p under p at each position. Returns (N,). Raises BaldroError on
    unequal lengths, an empty list or NaN.

    >>> min_k_plus_plus([[-1.0, -5.0]], [[-2.0, -2.0]], [[1.0, 1.5]]).tolist()
    [2.0]
    """
    scores = []
    for i, row in enumerate(zip(logp, mu, sigma, strict=True)):
        values, mean, deviation = (finite_vector(part, f"statistics of sample {i}") for part in row)
        same_length(values, mean, f"min-k++, sample {i}")
        same_length(values, deviation, f"min-k++, sample {i}")
        scores.append((values - mean) / np.maximum(deviation, SMALLEST_DEVIATION))
    return min_k(scores, fraction=fraction)


def zlib_ratio(avg_loss: ArrayLike, texts: Sequence[str]) -> np.ndarray:
    """Loss over the number of bytes that zlib makes of the text: surprise that the text itself does not explain.

    avg_loss: (N,), nats per token; texts: N strings. Returns (N,), nats per token and byte. Raises BaldroError on NaN or
    unequal N.

    >>> zlib_ratio([1.1], ["aaa"]).round(3).tolist()  # 11 bytes
    [0.1]
    """
    avg_loss = finite_vector(avg_loss, "avg_loss")
    if len(avg_loss) != len(texts):
        raise BaldroError("unequal-lengths", f"zlib: {len(avg_loss)} losses and {len(texts)} texts; needs a pair each")
    return avg_loss / np.array([len(zlib.compress(text.encode("utf-8"))) for text in texts])


def auc(members: ArrayLike, others: ArrayLike) -> float:
    """Area under the ROC curve of telling members by a low score: P(member < other) + P(member = other) / 2.

    members: (N,); others: (M,). Returns a value in [0, 1]: 0.5 cannot tell, 1 tells every pair. Source: Mann & Whitney
    1947. Raises BaldroError on NaN.

    >>> auc([0.1, 0.2, 0.3], [0.3, 0.4])
    0.9166666666666666
    """
    members, others = finite_vector(members, "members' scores"), finite_vector(others, "holdout scores")
    ranks = rankdata(np.concatenate([members, others]))[len(members) :]
    n, m = len(members), len(others)
    return float((ranks.sum() - m * (m + 1) / 2) / (n * m))


def privleak(member_auc: float, reference_auc: float = CHANCE) -> float:
    """((1 - AUC) - (1 - AUC_ref)) / ((1 - AUC_ref) + 1e-10) * 100, with AUC_ref the retain model's.

    member_auc, reference_auc: min-k AUC in [0, 1]. Returns per cent, -100 or more: 0 is as private as the retain model,
    below 0 members are still told (under-unlearned), above 0 they stand out by their strangeness (over-unlearned). Without a
    retain model the published logs hold it against chance, 0.5. Raises BaldroError outside [0, 1].

    >>> round(privleak(0.75), 6), round(privleak(0.55, 0.55), 6)
    (-50.0, 0.0)
    """
    for value in (member_auc, reference_auc):
        if not 0 <= value <= 1:
            raise BaldroError("number-out-of-range", f"PrivLeak: AUC is {value}; needs a value in [0, 1]")
    reference = 1 - reference_auc
    return float((1 - member_auc - reference) / (reference + EPSILON) * 100)
