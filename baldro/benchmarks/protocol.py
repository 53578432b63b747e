"""What is asked of a model on each benchmark: the sections of the evidence, their splits, prompts and limits.

Source: TOFU (Maini et al. 2024, arXiv 2401.06121), MUSE (Shi et al. 2024, arXiv 2407.06460), with the settings of the published
evaluation logs.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

from baldro.errors import unknown


@dataclass(frozen=True, kw_only=True)
class Section:
    """A set of questions, and what is taken from the model on them."""

    name: str
    """Section of the evidence."""
    split: str
    """The benchmark's split; {split} is the forget split and {holdout} what the benchmark holds out for it."""
    likelihood: bool = True
    """Each candidate answer is scored token by token."""
    generate: bool = True
    """The prompt is continued greedily."""
    membership: bool = False
    """Members or non-members of a membership inference attack."""
    end: bool = True
    """The answer ends in the end-of-sequence token, which is scored; a cut-out of running text does not."""
    longest: int | None = None
    """Answer tokens that are scored, at most."""
    max_new_tokens: int | None = None
    """Longest continuation, in place of the benchmark's."""
    prompt: str | None = None
    """Text with {question} in it, in place of the model's prompt."""
    between: str = ""
    """Text between the prompt and the answer, which counts as answer: no continuation begins with it, and its tokens are the answer's."""
    shots: str | None = None
    """Split of worked examples, put before the question in the section's prompt, each with its answer and an empty line."""
    stop: tuple[str, ...] = ()
    """A continuation ends before the first of these."""
    optional: bool = False
    """Left out where the benchmark names no such split."""


TOFU = (
    Section(name="forget", split="{split}_perturbed", membership=True),
    Section(name="retain", split="retain_perturbed"),
    Section(name="real_authors", split="real_authors_perturbed"),
    Section(name="world_facts", split="world_facts_perturbed"),
    Section(name="holdout", split="{holdout}", generate=False, membership=True, optional=True),
)
_QUIZ = dict(
    likelihood=False,
    max_new_tokens=32,
    prompt="Question: {question}\nAnswer: ",
    stop=("\n\n", "\nQuestion", "Question:"),
)
MUSE = (
    Section(name="forget_knowmem", split="forget_knowmem", shots="forget_knowmem_icl", **_QUIZ),
    Section(name="retain_knowmem", split="retain_knowmem", shots="retain_knowmem_icl", **_QUIZ),
    Section(name="verbmem", split="verbmem", prompt="{question}", between=" ", end=False, longest=128, max_new_tokens=128),
    Section(name="forget", split="privleak_forget", prompt="{question}", generate=False, membership=True, end=False, longest=2048),
    Section(name="holdout", split="privleak_holdout", prompt="{question}", generate=False, membership=True, end=False, longest=2048),
)  # fmt: skip


def sections(splits: Collection[str], forget: str, holdout: str | None) -> tuple[Section, ...]:
    """The sections of a benchmark that has these splits, the names of the forget split and of the holdout filled in.

    Args:
        holdout: the split that the benchmark's definition names; None: the section `holdout` is left out, if it is of such a split.

    Raises:
        BaldroError: a holdout that is none of the splits.
    """
    if holdout is not None and holdout not in splits:
        raise unknown("split", holdout, splits, where="the benchmark's table")
    asked = MUSE if "verbmem" in splits else TOFU
    kept = [s for s in asked if not s.optional or holdout is not None]
    return tuple(replace(s, split=s.split.format(split=forget, holdout=holdout)) for s in kept)
