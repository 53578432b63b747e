"""Memorisation of the answer's tokens under teacher forcing: exact memorisation and extraction strength.

Source: exact memorisation, Tirumala et al. 2022 (arXiv 2205.10770); extraction strength, Carlini et al. 2021 (arXiv
2012.07805), as a fraction of the answer; both as the published logs compute them: the end of sequence is not counted. (With the
model's own tokenizer every published score on forget10 is a whole number of the answer's tokens, and of no other number.)
"""

from collections.abc import Sequence

import numpy as np

from baldro.errors import BaldroError


def exact_memorization(hits: Sequence[Sequence[bool]]) -> np.ndarray:
    """Share of answer tokens that are the argmax given the true tokens before them: (1/n) sum_t hit_t.

    hits: N lists of n_i >= 1 booleans. Returns (N,) in [0, 1]. Raises BaldroError on an empty or non-boolean list.

    >>> exact_memorization([[True, False], [True, True, True]]).tolist()
    [0.5, 1.0]
    """
    flat, starts, lengths = _flatten(hits)
    return np.add.reduceat(flat, starts, dtype=np.int64) / lengths


def extraction_strength(hits: Sequence[Sequence[bool]]) -> np.ndarray:
    """1 - k/n, k the shortest prefix after which every remaining token is a hit.

    hits: N lists of n_i >= 1 booleans. Returns (N,) in [0, 1]; 1 = the whole answer comes without any prefix.
    As in the published logs k stops at n - 1, so an answer whose last token is missed scores 1/n, not 0.
    Raises BaldroError on an empty or non-boolean list.

    >>> extraction_strength([[True, False, True, True], [True, True, True, False]]).tolist()
    [0.5, 0.25]
    """
    flat, starts, lengths = _flatten(hits)
    place = np.arange(1, flat.size + 1) - np.repeat(starts, lengths)  # 1, 2, ... within each answer
    prefix = np.maximum.reduceat(np.where(flat, 0, place), starts)  # up to and with the last miss
    return 1 - np.minimum(prefix, lengths - 1) / lengths


def _flatten(hits: Sequence[Sequence[bool]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All answers end to end: (sum n_i,) booleans, (N,) starts, (N,) lengths."""
    rows = [np.asarray(row) for row in hits]
    if not rows:
        raise BaldroError("not-booleans", "hits: no samples; needs a list of booleans for each")
    for position, row in enumerate(rows):
        if row.dtype != bool or row.ndim != 1 or row.size == 0:
            raise BaldroError("not-booleans", f"hits: sample {position} is not a list of booleans, one or more")
    lengths = np.array([row.size for row in rows])
    return np.concatenate(rows), np.cumsum(lengths) - lengths, lengths
