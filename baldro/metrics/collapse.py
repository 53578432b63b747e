"""Signs of a model that has collapsed, read off its generations without another model: repetition and length.

Source: repetition, Welleck et al. 2019 (arXiv 1908.04319, "seq-rep-n"), here of words within one generation.
A word stands between white space; in scripts that have none between words (Chinese, Japanese, Thai) each character is one, with its
marks and punctuation. Else a generation in Chinese were one word, and would never repeat itself.
"""

from collections.abc import Sequence

import numpy as np

from baldro.errors import BaldroError
from baldro.metrics.words import unspaced

NGRAM = 4


def repetition(generations: Sequence[str], *, n: int = NGRAM) -> np.ndarray:
    """1 - (different n-grams) / (n-grams) of each generation's words.

    generations: N strings. Returns (N,) in [0, 1): 0 says nothing twice, towards 1 repeats itself.
    A generation of fewer than n words, the empty one included, scores 0. Raises BaldroError on anything but strings or
    n < 1.

    >>> repetition(["a b c d e", "no no no no no no", "", "不不不不不不"]).round(3).tolist()
    [0.0, 0.667, 0.0, 0.667]
    """
    if n < 1:
        raise BaldroError("number-out-of-range", f"repetition: n = {n}; needs 1 or more words")
    return np.array([_repeated(words, n) for words in _words(generations)], dtype=np.float64)


def length(generations: Sequence[str]) -> np.ndarray:
    """Words of each generation.

    generations: N strings. Returns (N,), 0 or more; 0 is an empty generation, another sign of collapse. Raises BaldroError
    on anything but strings.

    >>> length(["two words", "", "你好，Ann。"]).tolist()
    [2.0, 0.0, 3.0]
    """
    return np.array([len(words) for words in _words(generations)], dtype=np.float64)


def _words(generations: Sequence[str]) -> list[list[str]]:
    for position, text in enumerate(generations):
        if not isinstance(text, str):
            raise BaldroError("not-a-text", f"generations: no text at position {position}; needs strings")
    return [[word for piece in text.split() for word in _split(piece)] for text in generations]


def _split(piece: str) -> list[str]:
    """The words of a piece between white space: itself, unless it holds characters of a script without spaces."""
    if piece.isascii():
        return [piece]
    found, last = [""], ""
    for char in piece:
        if char.isalnum() and last and (unspaced(char) or unspaced(last)):
            found.append("")
        found[-1] += char
        last = char if char.isalnum() else last
    return found


def _repeated(words: list[str], n: int) -> float:
    grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0
