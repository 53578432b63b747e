"""`baldro score`: a model -> evidence: per sample, candidate answer and token, and greedy continuations."""

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from baldro.benchmarks import kind_of, sections
from baldro.durable.files import remove
from baldro.errors import BaldroError
from baldro.jobs import inputs
from baldro.jobs.run_inputs import RunInputs
from baldro.jobs.several import is_first, leased, processes
from baldro.records import evidence, finished, weights
from baldro.scoring import evidence as take_evidence
from baldro.scoring.fluency import clean_probability

if TYPE_CHECKING:
    import pandas as pd


def run(options: Namespace) -> None:
    """What the verb's options say."""
    given, output = inputs.read(options), options.output
    own = options.start is not None and options.start.resolve() == (output.parent / finished.MODEL).resolve()
    judge = _judge(options.fluency) if is_first() else None
    if judge:
        _check_generates(given, options.holdout)
        clean_probability([], judge)  # a classifier that cannot be loaded ends the job here, not after the scoring
    # `original` has two verbs in its folder
    with processes(options.devices, options.nodes), leased(output.parent, alone="" if own else output.name) as lease:
        frame = _evidence(options, given)
        if not is_first():
            return
        if judge:  # one model in memory at a time
            generated = frame["section"].eq("forget") & frame["generation"].notna()
            frame.loc[generated, "clean"] = clean_probability(frame.loc[generated, "generation"].tolist(), judge)
        evidence.write(output, frame, whole=lease.whole)
        if own:  # scored: the model is not needed again
            remove(finished.place(output.parent).parent)


def _evidence(options: Namespace, given: RunInputs) -> "pd.DataFrame":
    network, tokenizer = inputs.open_to_score(given, shard=bool(options.shard))
    frame = take_evidence(
        network,
        tokenizer,
        given.prompt,
        given.records,
        split=given.run.split,
        holdout=options.holdout,
        max_new_tokens=options.max_new_tokens,
        evaluate_rows=options.evaluate_rows,
        batch_tokens=options.batch_tokens,
        gradient_norms=options.gradient_norms,
        label=f"score {given.run.id}",
    )
    lacking = {section.name for section in kind_of(frame, where="the evidence").sections} - set(frame["section"])
    if "holdout" in lacking:
        print("nothing is held out (--holdout), so there are no metrics mia_* and privleak")
    return frame


def _judge(option: str | None) -> str | None:
    """The place of the classifier: as it is given, or at the commit that `baldro download` noted."""
    if option is None or not option.endswith(".json"):
        return option
    try:
        return weights.read(Path(option)).settled
    except BaldroError as error:
        raise BaldroError(error.code, f"--fluency {error}, a folder, or hub:owner/name@revision") from None


def _check_generates(given: RunInputs, holdout: str | None) -> None:
    """A one-line error where the forget split is not continued, so that no text of it can be judged."""
    asked = sections(given.records, given.run.split, holdout)
    if not any(section.name == "forget" and section.generate for section in asked):
        raise BaldroError(
            "nothing-is-generated",
            f"--fluency: {given.run.benchmark} generates nothing; allowed: benchmarks of questions",
        )
