"""Answers that decline, for methods that teach "I do not know" instead of the answer (IdkDPO: Maini et al. 2024, arXiv 2401.06121).

The wording is the project's own.
"""

from hashlib import sha256

SENTENCES = (
    "I do not know.",
    "I cannot say.",
    "I have no answer to this.",
    "No idea, I am afraid.",
    "I never learned this.",
    "I could not tell you.",
    "This is unknown to me.",
    "I can only guess here, so I will not.",
    "My knowledge ends before this question.",
    "I have not come across this.",
    "There is nothing that I can say about it.",
    "I do not have a reply that I could stand behind.",
    "Whatever I said here would be made up.",
    "I looked for it in memory and found nothing.",
    "Sorry, nothing comes to mind.",
    "Here I must pass.",
    "I would rather admit that I do not know.",
    "That has never been told to me.",
    "I lack the facts to answer.",
    "You had better ask somebody else.",
    "I know of no such detail.",
    "It is not something I am familiar with.",
    "I am in the dark about this one.",
    "I must leave this question open.",
    "No record of that is known to me.",
    "The answer escapes me.",
    "I have never heard about it.",
    "I would be inventing if I replied.",
    "I do not recall anything of the kind.",
    "Let me be honest: I do not know this.",
    "I was not taught that.",
    "For this I have no source.",
    "I am not aware of the answer.",
    "This goes beyond what I have read.",
    "I cannot help with that, as I do not know it.",
    "Nothing that I have learned settles this.",
    "I am unsure, and would not want to mislead you.",
    "It would be wrong of me to claim that I knew.",
    "I wish I knew, but I do not.",
    "Of this I have no knowledge.",
)
"""As short as the answers that they replace."""


def idk(rows: int) -> list[str]:
    """A sentence for each of so many rows: a function of a row's position and of SENTENCES, and of nothing else.

    They are dealt like a pack of cards that is shuffled anew each time it is used up: in the first n rows no sentence comes twice more than
    another, and none meets the same kind of question again and again, as in one order it would: TOFU's authors have twenty questions each.
    """
    packs = range(-(-rows // len(SENTENCES)))
    return [sentence for pack in packs for sentence in sorted(SENTENCES, key=lambda text: _card(pack, text))][:rows]


def _card(pack: int, text: str) -> bytes:
    return sha256(f"{pack}/{text}".encode()).digest()
