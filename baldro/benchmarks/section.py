"""A section of the evidence: a set of questions, and what is taken from the model on them."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Section:
    """What a kind of benchmark asks of a model on one split, and how an answer to it is formed.

    Options of a multiple choice are the wrong answers of its rows (perturbed_answer): each is scored as the right one is.
    """

    name: str
    """Section of the evidence."""
    split: str
    """The benchmark's split; {split} is the forget split and {holdout} what the benchmark holds out for it."""
    likelihood: bool = True
    """Each candidate answer is scored token by token."""
    paraphrase: bool = False
    """Rows have a paraphrase of the right answer, on which truth ratios are taken."""
    wrong: int = 0
    """Wrong answers of each row."""
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
    begins: str = ""
    """Beginning of the answer that the model is given: a continuation goes on behind it."""
    shots: str | None = None
    """Split of worked examples, put before the question in the section's prompt, each with its answer and an empty line."""
    stop: tuple[str, ...] = ()
    """A continuation ends before the first of these."""
    optional: bool = False
    """Left out where the benchmark has no such split."""

    @property
    def candidates(self) -> int:
        """Answers that are scored per row: the right one, its paraphrase, wrong ones; 0 where the prompt is only continued."""
        return (1 + self.paraphrase + self.wrong) * self.likelihood

    @property
    def options(self) -> bool:
        """Whether the right answer is one of several that are weighed against each other."""
        return self.wrong > 0 and not self.paraphrase
