"""ROUGE-L recall of a generation against its answer.

Source: Lin 2004 (ROUGE); TOFU (Maini et al. 2024, arXiv 2401.06121, "ROUGE"). The published logs come out to the bit
with the rouge-score package and its Porter stemmer; without the stemmer one pair in ten differs.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np

from baldro.errors import BaldroError


@cache
def _scorer():
    from rouge_score.rouge_scorer import RougeScorer  # here: it loads nltk, which no other metric needs

    return RougeScorer(["rougeL"], use_stemmer=True)


def rouge_l_recall(references: Sequence[str], generations: Sequence[str]) -> np.ndarray:
    """Longest common subsequence of stemmed words over the reference's number of words, per sample.

    references, generations: N strings each. Returns (N,) in [0, 1]; an empty generation, or a reference without a word
    of ASCII letters or digits, scores 0. Raises BaldroError on unequal N or anything that is not a string.

    >>> rouge_l_recall(["the cats sat down", "Paris"], ["a cat sat", ""]).tolist()
    [0.5, 0.0]
    """
    if len(references) != len(generations):
        raise BaldroError(f"ROUGE: {len(references)} references and {len(generations)} generations; needs a pair each")
    pairs = list(zip(references, generations, strict=True))
    for position, pair in enumerate(pairs):
        if not all(isinstance(text, str) for text in pair):
            raise BaldroError(f"ROUGE: no text at position {position}; reference and generation must be strings")
    return np.array([_scorer().score(reference, text)["rougeL"].recall for reference, text in pairs], dtype=np.float64)
