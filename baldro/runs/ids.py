"""What stands in a run's id: its words, and the regular expression of all ids."""

from collections.abc import Iterable

from baldro.methods.catalogue import VARIANTS
from baldro.stages import KINDS, STAGE_OF, STAGES

THEN = "then"
"""In a suffix `then=SPLIT`: the same as the run before, with another request."""


def steps(words: list[str]) -> list[tuple[str, str | None, dict[str, str]]]:
    """What stands behind benchmark, model and split: objective, variant and fields of a run, of its child, of its child's child, ..."""
    steps: list[tuple[str, str | None, dict[str, str]]] = []
    for place, word in enumerate(words):
        if place and "=" in word:
            name, _, value = word.partition("=")
            if name == THEN:
                objective, variant, values = steps[-1]
                steps.append((objective, variant, values | {"split": value}))
            else:
                steps[-1][2][name] = value
        elif place and steps[-1][1:] == (None, {}) and word not in STAGE_OF:
            steps[-1] = (steps[-1][0], word, {})
        else:
            steps.append((word, None, {}))
    return steps


def shape(stages: Iterable[str]) -> str:
    """A regular expression of the ids of runs of some stages, and of no other ids."""
    word, variants = r"(?:(?!--)[^/])+", "|".join(VARIANTS)
    again = rf"(?:--{THEN}={word})"

    def step(kinds: Iterable[str]) -> str:
        return rf"(?:--(?:{'|'.join(kinds)})(?:--(?:{variants}))?(?:--(?!{THEN}=)\w+={word})*)"

    own = step(kind for stage in stages for kind in STAGES[stage].kinds)
    return rf"{word}--{word}--{word}(?:{step(KINDS)}{again}*)*{own}{again}*"
