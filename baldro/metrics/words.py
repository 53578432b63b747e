"""Words of texts in any script: what ROUGE counts off the Latin script, and where scripts without spaces break.

Classes of characters are Unicode's (general categories and names), as Python's `unicodedata` holds them.
"""

import unicodedata
from functools import cache

LATIN = (
    *("LATIN", "FULLWIDTH", "MODIFIER", "FEMININE ORDINAL", "MASCULINE ORDINAL", "MICRO SIGN", "OHM SIGN"),
    *("KELVIN SIGN", "ANGSTROM SIGN", "SCRIPT", "DOUBLE-STRUCK", "BLACK-LETTER", "MATHEMATICAL"),
)
"""Beginnings of the names of Latin letters, and of signs made of letters that stand in Latin texts."""
UNSPACED = (
    *("CJK", "IDEOGRAPHIC ITERATION", "HIRAGANA", "KATAKANA", "BOPOMOFO", "YI", "THAI", "LAO", "KHMER", "MYANMAR"),
    *("TAI", "NEW TAI", "JAVANESE", "BALINESE"),
)
"""Beginnings of the names of characters of scripts that put no space between words."""


def other_script(text: str) -> bool:
    """Whether a text holds a letter or digit of another script than Latin.

    >>> other_script("Zoë, 5 µm"), other_script("Лісова пісня"), other_script("१९५६")
    (False, True, True)
    """
    return not text.isascii() and any(_of_other_script(char) for char in text)


def words(text: str) -> list[str]:
    """Lower-case words of letters and digits with their combining marks, in any script.

    A character of a script without spaces between words (Chinese, Japanese, Thai, Lao, Khmer, Burmese) is a word, with the
    marks that stand on it. Compatible forms are one (NFKC: full-width letters, Arabic presentation forms), and invisible
    format characters (joiners, direction marks) do not count. A text without letter or digit gives its other characters.

    >>> words("Zoë ВОЙНА и мир"), words("हिन्दी भाषा"), words("他是 GPT-4。"), words("🙂 …")
    (['zoë', 'война', 'и', 'мир'], ['हिन्दी', 'भाषा'], ['他', '是', 'gpt', '4'], ['🙂', '.', '.', '.'])
    """
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    shown = [char for char in plain if unicodedata.category(char) != "Cf"]
    found: list[str] = []
    inside = False  # a word
    for char in shown:
        kind = unicodedata.category(char)[0]
        if inside and (kind == "M" or (kind in "LN" and not unspaced(char) and not unspaced(found[-1][0]))):
            found[-1] += char
        elif kind in "LN":
            found.append(char)
        inside = kind in "LN" or (inside and kind == "M")
    return found or [char for char in shown if not char.isspace()]


@cache
def unspaced(char: str) -> bool:
    """Whether a character belongs to a script without spaces between words."""
    return not char.isascii() and unicodedata.name(char, "").startswith(UNSPACED)


@cache
def _of_other_script(char: str) -> bool:
    letter = unicodedata.category(char)[0] == "L" or unicodedata.category(char) == "Nd"
    return letter and not char.isascii() and not unicodedata.name(char, "").startswith(LATIN)
