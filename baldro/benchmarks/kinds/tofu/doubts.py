"""What is doubtful in rows of TOFU's schema: counted before anything is trained on them."""

from collections.abc import Mapping, Sequence

from baldro.benchmarks.apart import Pair, apart, doubles, few, plain
from baldro.benchmarks.kinds.tofu import OPTIONS

KEPT = (*OPTIONS, "retain_perturbed")
"""What is to be known after unlearning."""


def doubts(
    splits: Mapping[str, Sequence[dict]], *, forget: Mapping[str, str], held: Mapping[str, str], where: object
) -> list[str]:
    """Notes on rows that would make a number wrong if they were many.

    Args:
        splits: split -> rows, every perturbed one with its wrong answers.
        forget: forget split -> retain split.
        held: forget split -> the split that is held out for it.
        where: the data's place.

    Raises:
        BaldroError: they are many (`baldro.benchmarks.apart.FEW`).
    """
    rows = {name: [(row["question"], row["answer"]) for row in each] for name, each in splits.items()}
    return [
        *_members(rows, held, where),
        *_forgotten(rows, forget, where),
        *(note for name in (*forget, *held.values(), *KEPT, "full") for note in doubles(name, rows[name], where=where)),
        *(
            n
            for name in (*(f"{f}_perturbed" for f in forget), *KEPT)
            for n in _wrong_answers(name, splits[name], where)
        ),
        *_never_learnt(rows, where),
    ]


def _members(rows: Mapping[str, list[Pair]], held: Mapping[str, str], where: object) -> list[str]:
    learnt = [pair for name in ("full", *OPTIONS) for pair in rows[name]]
    notes = []
    for name, other in held.items():
        text = f"of {other}, held out for {name}, are also learnt, in full or the base: members that are non-members"
        notes += apart(rows[other], learnt, text, where=where, allowed="rows that no model saw, or no `holdout`")
        notes += _asked_twice(other, name, rows, where)
    return notes


def _forgotten(rows: Mapping[str, list[Pair]], forget: Mapping[str, str], where: object) -> list[str]:
    notes = []
    for name, retain in forget.items():
        text = f"of {name} are also in {retain}, which the retain model learns"
        allowed = "rows that are forgotten or retained, not both"
        notes += apart(rows[name], rows[retain], text, where=where, allowed=allowed)
        for other in KEPT:
            text = f"of {other} are also in {name}: what is forgotten would count as kept knowledge"
            notes += apart(rows[other], rows[name], text, where=where, allowed="rows that are not to be forgotten")
            notes += _asked_twice(other, name, rows, where)
    return notes


def _asked_twice(name: str, forget: str, rows: Mapping[str, list[Pair]], where: object) -> list[str]:
    """Questions alone are noted only: TOFU itself has one twice, with two answers."""
    known = {plain(pair) for pair in rows[forget]}
    questions = {question for question, _ in known}
    count = sum(pair[0] in questions and pair not in known for pair in map(plain, rows[name]))
    return [f"{where}: {count} of {len(rows[name])} rows of {name} ask what {forget} asks"] if count else []


def _wrong_answers(name: str, rows: Sequence[dict], where: object) -> list[str]:
    right = {
        i: {plain(("", row.get(key) or row["answer"])) for key in ("answer", "paraphrased_answer")}
        for i, row in enumerate(rows)
    }
    wrong = [[plain(("", text)) for text in row["perturbed_answer"]] for row in rows]
    among = sum(not right[i].isdisjoint(each) for i, each in enumerate(wrong))
    text = f"of {name} have the right answer, or its paraphrase, among their wrong ones"
    allowed = "perturbed_answer of answers that are wrong"
    notes = few(among, len(rows), text, where=where, allowed=allowed, code="right-answer-among-wrong")
    again = sum(len(set(each)) < len(each) for each in wrong)
    return notes + ([f"{where}: {again} of {len(rows)} rows of {name} have a wrong answer twice"] if again else [])


def _never_learnt(rows: Mapping[str, list[Pair]], where: object) -> list[str]:
    known = set(map(plain, rows["full"]))
    kept = rows["retain_perturbed"]
    count = sum(plain(pair) not in known for pair in kept)
    return (
        [f"{where}: {count} of {len(kept)} rows of retain_perturbed are not in full, so never learnt"] if count else []
    )
