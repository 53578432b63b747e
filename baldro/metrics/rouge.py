"""A generation against its answer: whether they are the same, and ROUGE: unigrams (ROUGE-1), longest common subsequence (ROUGE-L).

Source: Lin 2004 (ROUGE); TOFU (Maini et al. 2024, arXiv 2401.06121) uses ROUGE-L recall, MUSE (Shi et al. 2024, arXiv 2407.06460)
ROUGE-L F1. The published logs come out to the bit with the rouge-score package and its Porter stemmer; without the stemmer one
pair in ten differs.
That package's words are of a-z and 0-9 alone: it splits "Zoë" at its ë, and of an answer in another script it keeps nothing, or the
Latin name in it alone. So an answer that has letters or digits of another script, or no a-z and 0-9 at all, is compared in the words
of `words` instead, its generation too; all others by the package's, to the bit.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np

from baldro.errors import BaldroError
from baldro.metrics.words import other_script, words

KINDS = ("rouge1_recall", "rouge1_f1", "rougeL_recall", "rougeL_f1")


@cache
def _scorer():
    from rouge_score.rouge_scorer import RougeScorer  # here: it loads nltk, which no other metric needs

    return RougeScorer(["rouge1", "rougeL"], use_stemmer=True)


@cache
def _scorer_of_words():
    from rouge_score.rouge_scorer import RougeScorer
    from rouge_score.tokenizers import DefaultTokenizer

    stemmed = DefaultTokenizer(use_stemmer=True).tokenize

    class Words:
        """In place of the package's own tokenizer, which stems the words of a-z here, too."""

        @staticmethod
        def tokenize(text: str) -> list[str]:
            return ["".join(stemmed(word)) or word if word.isascii() else word for word in words(text)]

    return RougeScorer(["rouge1", "rougeL"], tokenizer=Words())


def _of_ascii_words(reference: str) -> bool:
    """Whether rouge-score's words are all of a reference: some letter or digit of ASCII, and none of another script."""
    return any(char.isascii() and char.isalnum() for char in reference) and not other_script(reference)


def rouge(references: Sequence[str], generations: Sequence[str]) -> dict[str, np.ndarray]:
    """Every kind of `KINDS` per sample, on stemmed words of ASCII letters and digits; off the Latin script on Unicode's words.

    references, generations: N strings each. Recall: shared words (ROUGE-1) or the length of the longest common
    subsequence (ROUGE-L), over the reference's number of words; F1: harmonic mean with the same over the generation's.
    Which words: by the reference alone. With a letter or digit of another script than Latin in it (Chinese with a Latin name,
    English with a Greek letter), or without ASCII letter and digit, both texts are taken in `words`: in any script, accents and
    combining marks included, and a word a character where a script has no spaces, so that one wrong name of a few characters
    weighs as many words. Every other reference is taken in rouge-score's words, where what a generation says in another script
    does not count.
    Returns kind -> (N,) in [0, 1]; an empty generation, or an empty reference, scores 0. Raises BaldroError on unequal N or
    anything that is not a string.

    >>> scores = rouge(["the cats sat down", "Paris"], ["sat a cat", ""])
    >>> {kind: score.round(3).tolist() for kind, score in scores.items()}
    {'rouge1_recall': [0.5, 0.0], 'rouge1_f1': [0.571, 0.0], 'rougeL_recall': [0.25, 0.0], 'rougeL_f1': [0.286, 0.0]}
    >>> rouge(["Он живёт в Киеве.", "他是王伟"], ["он живёт в Одессе", "他是李伟"])["rougeL_recall"].tolist()
    [0.75, 0.75]
    """
    if len(references) != len(generations):
        raise BaldroError("unequal-lengths", f"ROUGE: {len(references)} references, {len(generations)} generations")
    pairs = list(zip(references, generations, strict=True))
    for position, pair in enumerate(pairs):
        if not all(isinstance(text, str) for text in pair):
            raise BaldroError("not-a-text", f"ROUGE: no text at position {position}; needs strings")
    scores = [
        (_scorer() if _of_ascii_words(reference) else _scorer_of_words()).score(reference, text)
        for reference, text in pairs
    ]
    return {
        f"{which}_{short}": np.array([getattr(score[which], name) for score in scores], dtype=np.float64)
        for which in ("rouge1", "rougeL")
        for short, name in (("recall", "recall"), ("f1", "fmeasure"))
    }


def exact_match(references: Sequence[str], generations: Sequence[str]) -> np.ndarray:
    """1 where a generation is its reference, upper and lower case and white space around them aside, else 0.

    references, generations: N strings each. Returns (N,). Source: the evaluation script of SemEval-2025 Task 4.

    >>> exact_match(["Paris", "900-12"], [" paris\\n", "900-12."]).tolist()
    [1.0, 0.0]
    """
    pairs = zip(references, generations, strict=True)
    return np.array([a.strip().lower() == b.strip().lower() for a, b in pairs], dtype=np.float64)
