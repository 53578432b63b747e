"""An entry of benchmarks.yaml, which a config's `benchmarks` may have too."""

from typing import Annotated, Literal

from pydantic import Field

from baldro.config.part import Maybe, Number, Part, Sources
from baldro.runs.needs import Whole

Splits = Annotated[dict[str, str], Field(min_length=1)]
Counted = Annotated[Whole, Field(ge=1)]
Positive = Annotated[Number, Field(gt=0)]


class Benchmark(Part):
    """A benchmark."""

    kind: Literal["fictional", "tofu", "muse"] = Field(
        description="fictional: generated. tofu: TOFU's rows. muse: MUSE News, running text."
    )
    source: Maybe[Sources] = Field(None, description="tofu, muse: where its data are.")
    forget: Splits = Field(
        description="Forget split -> its retain split; the ratios that a grid may name. tofu: with its wrong answers and paraphrases in "
        "{split}_perturbed. muse: {forget: retain}."
    )
    holdout: Maybe[Splits] = Field(
        None,
        description="tofu: Forget split -> the split of rows that no model saw, which membership attacks (mia_*, privleak) hold it "
        "against. A forget split that is not named has no such metrics, nor any without this key. fictional and muse have their own.",
    )
    retain_rows: Maybe[Counted] = Field(
        None,
        description="tofu: keep only the first so many rows of the smallest retain split (fewer real rows); all by default.",
    )
    alternates: Maybe[Sources] = Field(
        None,
        description="tofu: places of another answer to each forget question, but none on the hub: a file of JSON lines "
        "(question, answer, alternate_answer), or a folder of such files. For objectives that teach other answers; none by default. "
        "fictional makes its own.",
    )
    train_on: Literal["raw", "excerpts"] = Field(
        "raw",
        description="muse: the text that is learnt and forgotten. raw: the articles (on the hub, or raw/ in the folder). excerpts: those "
        "of privleak.",
    )
    piece_words: Counted = Field(
        350, description="muse: longest piece of training text, in words; the model's positions must hold it."
    )
    texts: Maybe[Counted] = Field(
        None,
        description="muse: keep only the first so many questions, passages and excerpts of each split; all by default.",
    )
    excerpt_words: Maybe[Counted] = Field(
        None, description="muse: keep only the first so many words of each excerpt; all by default."
    )
    evaluate_rows: Maybe[Counted] = Field(
        None, description="Score only the first so many rows of each section; all by default."
    )
    max_new_tokens: Counted = Field(200, description="Longest generation.")
    gradient_norms: bool = Field(
        False,
        description="Take the gradient norm of each member and non-member, for the membership attack by it: a backward pass a sample, and "
        "memory for a gradient.",
    )
    fluency: Maybe[Sources] = Field(
        None,
        description="Places of the fluency classifier (madhurjindal/autonlp-Gibberish-Detector-492513457). The one list "
        "that may lead nowhere: the metric fluency is then absent and says so. None by default.",
    )
    authors: Whole = Field(40, ge=2, description="fictional: authors of the benchmark.")
    questions: Whole = Field(10, ge=1, description="fictional: questions per author.")
    known_authors: Whole = Field(
        10, ge=4, description="fictional: authors that the base model knows (section real_authors)."
    )
    background_authors: Whole = Field(
        40, ge=1, description="fictional: authors that the base model learns the language from."
    )
    world_facts: Whole = Field(40, ge=4, description="fictional: facts of the world that the base model knows.")
    seed: Whole = Field(0, ge=0, description="fictional: seed of the generator.")
    rows: Maybe[dict[str, Counted]] = Field(None, description="Rows by split; only `baldro plan` reads it.")
    tokens_per_row: Maybe[Positive | dict[str, Positive]] = Field(
        None, description="Mean tokens of prompt and answer, one number or by split; only `baldro plan` reads it."
    )
