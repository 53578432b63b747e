"""Questions with four options as lm-evaluation-harness asks and scores them: zero-shot, a letter as the answer.

The prompt is text without a chat template. It is tokenised with the answer as one text and as many tokens as it has by itself are cut off
(`baldro.prompts.encode`), with the special tokens that the tokenizer adds; the answer is a space and a letter, without an end of sequence.
"""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from baldro.benchmarks.definition import OwnMetric
from baldro.benchmarks.section import Section
from baldro.errors import BaldroError

if TYPE_CHECKING:
    import pandas as pd

LETTERS = "ABCD"
HARNESS = "lm-evaluation-harness: zero-shot, acc"


def quiz(name: str, split: str) -> Section:
    """The section that asks a split's questions: each letter is scored, nothing is continued."""
    return Section(name=name, split=split, wrong=3, generate=False, end=False, prompt="{question}", between=" ")


def asked(question: str, options: Sequence[str], right: int, *, subject: str) -> dict[str, Any]:
    """A question as a row of a benchmark: the whole prompt, the right letter, and the other letters in their order.

    Args:
        right: index of the right option.
        subject: what the description in front says that the questions are about.

    >>> print(asked(" Who? ", ["Ada", "Bo", "Cy", "Di"], 2, subject="people")["question"])
    The following are multiple choice questions (with answers) about people.
    <BLANKLINE>
    Who?
    A. Ada
    B. Bo
    C. Cy
    D. Di
    Answer:
    """
    lines = [question.strip(), *(f"{letter}. {text}" for letter, text in zip(LETTERS, options, strict=True)), "Answer:"]
    prompt = f"The following are multiple choice questions (with answers) about {subject}.\n\n" + "\n".join(lines)
    letters = list(LETTERS)
    return {"question": prompt, "answer": letters.pop(right), "perturbed_answer": letters}


def accuracy(sections: Sequence[str], evidence: Any) -> "pd.Series":
    """Of each question of some sections 1 if the right letter has the largest log-probability, else 0.

    A letter's log-probability is the sum over its tokens. Of letters with the same one the first of the alphabet is the model's answer.

    Args:
        evidence: `baldro.metrics.evidence.Evidence`.
    """
    import pandas as pd

    return pd.concat([_right(evidence, section) for section in sections], ignore_index=len(sections) > 1)


def _right(evidence: Any, section: str) -> "pd.Series":
    loss = evidence.column(section, "wrong_loss").assign(answer=evidence.column(section, "answer_loss"))
    texts = evidence.texts(section).unstack("candidate")
    if loss.shape[1] != len(LETTERS):
        said = f"{evidence.where}: section {section} has {loss.shape[1]} candidates; allowed: {len(LETTERS)}"
        raise BaldroError("options-not-four", said)
    logp, letters = -loss * texts["tokens"][loss.columns], texts["text"]
    others = logp.drop(columns="answer")
    later = letters[others.columns].gt(letters["answer"], axis=0)
    beaten = others.lt(logp["answer"], axis=0) | (others.eq(logp["answer"], axis=0) & later)
    return beaten.all(axis=1).astype(float)


def accuracies(name: str, label: str, short: str, *, of: Sequence[str], better: str, **further: Any) -> OwnMetric:
    """The metric of the accuracy on some sections together: so larger ones weigh more."""
    return OwnMetric(name=name, label=label, short=short, better=better, values=partial(accuracy, of), **further)
