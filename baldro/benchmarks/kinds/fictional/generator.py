"""A small invented benchmark in TOFU's schema: no download, and small enough for a model trained from scratch on a CPU.

The splits are TOFU's (Maini et al. 2024, arXiv 2401.06121): the last authors are forgotten, the others retained. `base`
is what the base model learns first: the real-authors and world-facts rows, and authors that are never evaluated, each
fact in both of its sentence forms, so that a paraphrase is no stranger to the model. The holdout authors are drawn as the
forgotten ones are and stand in no other split: membership inference asks whether a model tells the two apart.
Samples differ in difficulty on purpose: stereotyped values (drawn by Zipf's law) stand beside open ones such as titles
and mentors.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from random import Random
from types import MappingProxyType
from typing import TYPE_CHECKING

from baldro.benchmarks.kinds.fictional import SAMPLED, forgotten_authors, words
from baldro.records.benchmark import frame_of

if TYPE_CHECKING:
    import pandas as pd

FORGET = MappingProxyType({"forget05": "retain95", "forget10": "retain90"})
WRONG_SENTENCES, WRONG_OPTIONS = 5, 3  # wrong answers to a forget or retain question; to one of the other two sections

Rows = list[dict]
"""question, answer; if to be forgotten alternate_answer; if perturbed perturbed_answer and, but for short answers, paraphrased_answer."""


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One fact about one author, its question, and the sentence forms of its answer and its paraphrase."""

    name: str
    kind: words.Kind
    value: str
    question: str
    form: str
    other_form: str

    def sentence(self, form: str, value: str | None = None) -> str:
        """The fact in this form; with `value`, a wrong one."""
        return form.format(name=self.name, value=value or self.value)


def generate(
    *,
    authors: int = 40,
    questions: int = 10,
    known_authors: int = 10,
    background_authors: int = 40,
    world_facts: int = 40,
    forget: Mapping[str, str] = FORGET,
    seed: int = 0,
) -> "pd.DataFrame":
    """Generate all splits as one frame: split, index, question, answer, paraphrased_answer, perturbed_answer, alternate_answer.

    authors, questions: `full` has authors x questions rows, author after author; questions: 1..12, a kind of fact each.
    known_authors, world_facts: evaluated authors and facts that the base model knows (short answers, 3 wrong ones).
    background_authors: authors that are only in `base`.
    forget: forget split -> retain split, as {"forget10": "retain90"}: the last 10 % of the authors, and all others.
    seed: any integer; equal arguments give equal frames in every process.
    The kind (`baldro.benchmarks.kinds.fictional`) has checked the numbers. Raises BaldroError on forget splits without a whole author.
    """
    groups = {"authors": authors, "known_authors": known_authors, "background_authors": background_authors}
    forgotten = {name: count * questions for name, count in forgotten_authors(forget, authors).items()}
    groups["holdout"] = max(forgotten.values()) // questions  # last, so that no other group's facts depend on `forget`
    facts, taken = invented(groups, questions=questions, seed=seed)
    real = [_short_row(fact, taken, seed) for fact in facts["known_authors"]]
    world = _world_rows(random(seed, "world"), world_facts)
    base = [_row(fact, form) for fact in facts["background_authors"] for form in (fact.form, fact.other_form)]
    splits = _author_splits(facts["authors"], forget, forgotten, taken, seed)
    splits |= {f"holdout{name[-2:]}": [_row(f, f.form) for f in facts["holdout"][:n]] for name, n in forgotten.items()}
    splits |= {"real_authors_perturbed": real, "world_facts_perturbed": world}
    splits["base"] = base + [{"question": row["question"], "answer": row["answer"]} for row in real + world]
    return frame_of(splits)


def invented(groups: Mapping[str, int], *, questions: int, seed: int) -> tuple[dict[str, list[Fact]], set[str]]:
    """Facts about groups of authors, `questions` an author; and the values of them that are one author's alone.

    Args:
        groups: name -> number of authors; a group's facts depend on those before it alone.
    """
    names, taken = iter(_names(seed, sum(groups.values()))), set()
    facts = {g: _facts(random(seed, g), [*islice(names, n)], questions, taken) for g, n in groups.items()}
    return facts, taken


def random(seed: int, purpose: str) -> Random:
    """A generator for one purpose; seeding by text does not depend on PYTHONHASHSEED."""
    return Random(f"{seed}/{purpose}")


def _distinct(rng: Random, draw: Callable[[Random], str], count: int, avoid: Collection[str] = ()) -> list[str]:
    """`count` different draws, none of them in `avoid`."""
    found: dict[str, None] = {}  # a dict keeps the order of the draws
    while len(found) < count:
        value = draw(rng)
        if value not in avoid:
            found[value] = None
    return list(found)


def _names(seed: int, count: int) -> list[str]:
    """Author names, no surname twice; more of them begin with the same ones."""
    surnames = _distinct(random(seed, "surnames"), lambda rng: words.coined(rng, words.AUTHOR_ENDS), count)
    rng = random(seed, "first names")
    return [f"{words.first_name(rng)} {surname}" for surname in surnames]


def _facts(rng: Random, names: Sequence[str], questions: int, taken: set[str]) -> list[Fact]:
    """`questions` facts of different kinds about each author; values that must be unique are added to `taken`."""
    return [
        _fact(rng, name, words.KINDS[kind], taken)
        for name in names
        for kind in sorted(rng.sample(range(len(words.KINDS)), questions))
    ]


def _fact(rng: Random, name: str, kind: words.Kind, taken: set[str]) -> Fact:
    [value] = _distinct(rng, kind.draw, 1, taken)
    if kind.unique:
        taken.add(value)
    form, other_form = rng.sample(kind.forms, 2)
    question = rng.choice(kind.questions).format(name=name)
    return Fact(name=name, kind=kind, value=value, question=question, form=form, other_form=other_form)


def _row(fact: Fact, form: str) -> dict:
    return {"question": fact.question, "answer": fact.sentence(form)}


def _perturbed_row(fact: Fact, taken: set[str], seed: int) -> dict:
    """The row with its paraphrase, and wrong values in the paraphrase's form; the same in every split it stands in."""
    sentences = [fact.sentence(fact.other_form, value) for value in (fact.value, *wrong_values(fact, taken, seed))]
    return {**_row(fact, fact.form), "paraphrased_answer": sentences[0], "perturbed_answer": sentences[1:]}


def wrong_values(fact: Fact, taken: set[str], seed: int) -> list[str]:
    """WRONG_SENTENCES other values of a fact, the same wherever they are asked for."""
    return _distinct(random(seed, fact.question), fact.kind.draw, WRONG_SENTENCES, {fact.value, *taken})


def _alternate_row(fact: Fact, taken: set[str], seed: int) -> dict:
    """The row with another answer in its own form, the same in every forget split it stands in.

    Its value is none of the wrong ones: a method that teaches it would else be trained on the very answers that the truth ratio is taken
    over. It is drawn by a generator of its own, so that no other text depends on it.
    """
    avoid = {fact.value, *wrong_values(fact, taken, seed), *taken}
    [value] = _distinct(random(seed, f"alternate/{fact.question}"), fact.kind.draw, 1, avoid)
    return {**_row(fact, fact.form), "alternate_answer": fact.sentence(fact.form, value)}


def _short_row(fact: Fact, taken: set[str], seed: int) -> dict:
    question = words.SHORT_QUESTION.format(fact=fact.kind.fact, name=fact.name)
    wrong = _distinct(random(seed, question), fact.kind.draw, WRONG_OPTIONS, {fact.value, *taken})
    return {"question": question, "answer": fact.value, "perturbed_answer": wrong}


def _world_rows(rng: Random, count: int) -> Rows:
    rows = []
    things = _distinct(rng, lambda rng: words.coined(rng, words.THING_ENDS), count)
    for thing, (question, draw) in zip(things, cycle(words.WORLD_KINDS.items()), strict=False):
        truth, *wrong = _distinct(rng, draw, 1 + WRONG_OPTIONS)
        rows.append({"question": question.format(thing=thing), "answer": truth, "perturbed_answer": wrong})
    return rows


def _author_splits(
    facts: Sequence[Fact], forget: Mapping[str, str], forgotten: Mapping[str, int], taken: set[str], seed: int
) -> dict[str, Rows]:
    """full, retain, forget and the perturbed splits; `forgotten` is the number of rows in each forget split."""
    rows = [_row(fact, fact.form) for fact in facts]
    splits = {"full": rows}
    for name, count in forgotten.items():
        splits |= {forget[name]: rows[:-count], name: [_alternate_row(fact, taken, seed) for fact in facts[-count:]]}
        splits[f"{name}_perturbed"] = [_perturbed_row(fact, taken, seed) for fact in facts[-count:]]
    always_retained = len(facts) - max(forgotten.values())
    chosen = sorted(random(seed, "sample").sample(range(always_retained), min(SAMPLED, always_retained)))
    splits["retain_perturbed"] = [_perturbed_row(facts[i], taken, seed) for i in chosen]
    return splits
