"""A model's evidence by the options of a verb: of a model that is read, or of one that the same process has just trained."""

import json
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from baldro.benchmarks import kind_of, module_of, sections
from baldro.benchmarks.harness import Harness
from baldro.durable.contents import model_content
from baldro.errors import BaldroError
from baldro.jobs.run_inputs import RunInputs
from baldro.jobs.several import is_first, number
from baldro.records import evidence as records
from baldro.records import tasks, weights
from baldro.runs import check_packages, fingerprint
from baldro.runs.agreement import check_sharding

if TYPE_CHECKING:
    import pandas as pd


ASKED = ("holdout", "max_new_tokens", "evaluate_rows", "gradient_norms")
"""Options that say what a model is asked; others change time and memory."""


def identity(options: Namespace, given: RunInputs) -> str:
    """What evidence is made from, beside the model and the benchmark: what is asked, the classifier and the code, as JSON."""
    kind_of(given.records, where="the benchmark's table")
    judge, more = _judge(options.fluency), options.lm_eval
    parts = {
        **{name: getattr(options, name) for name in ASKED},
        "fluency": judge,
        "classifier": model_content(Path(judge), weights=True) if judge and Path(judge).exists() else None,
        "tasks": tasks.read(more).__dict__ if more else None,
        "code": fingerprint(
            *("score", *["fluency"] * bool(judge), *["harness"] * bool(more)),
            own=(module_of(given.records.attrs["kind"]),),
        ),
    }
    return json.dumps(parts, sort_keys=True)


def check(options: Namespace, given: RunInputs) -> None:
    """End here, not after hours of training or scoring, where the classifier cannot be loaded or has nothing to judge, or a task is lost.

    Raises:
        BaldroError: one of these.
    """
    judge = _judge(options.fluency) if is_first() else None
    if judge:
        from baldro.scoring.fluency import clean_probability

        _check_generates(given, options.holdout)
        clean_probability([], judge)
    if asked := _harness(options):
        check_packages([], harness=True)
        if options.shard:
            check_sharding(given.run, devices=number(), harness=True)
        if is_first():
            from baldro.scoring import harness

            harness.tasks(asked)


def take(
    options: Namespace,
    given: RunInputs,
    network: Any,
    tokenizer: Any,
    *,
    check: Callable[[], None] = lambda: None,
) -> "pd.DataFrame":
    """The evidence of a model, which is not to be used any more. Of several processes all call this, and the first has the whole of it.

    Args:
        check: called between batches, to end here.
    """
    from baldro.scoring import evidence

    frame = evidence(
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
        check=check,
    )
    lacking = {section.name for section in kind_of(frame, where="the evidence").sections} - set(frame["section"])
    if "holdout" in lacking:
        print("nothing is held out (--holdout), so there are no metrics mia_* and privleak")
    asked = _harness(options)
    if asked and is_first():  # alone, as the classifier: the harness is one process's
        from baldro.scoring import harness

        answers = harness.ask(network, tokenizer, given.prompt, asked, label=f"score {given.run.id}", check=check)
        frame = records.with_scores(frame, answers)
    judge = _judge(options.fluency) if is_first() else None
    if judge:
        from baldro.scoring.fluency import clean_probability

        network.to("cpu")  # one model in a GPU's memory at a time
        generated = frame["section"].eq("forget") & frame["generation"].notna()
        frame.loc[generated, "clean"] = clean_probability(frame.loc[generated, "generation"].tolist(), judge)
    return frame


def _harness(options: Namespace) -> Harness | None:
    """The tasks of lm-evaluation-harness that are asked, if any are."""
    if options.lm_eval is None:
        return None
    return Harness.model_validate({**tasks.read(options.lm_eval).asked, "batch_size": options.lm_eval_batch})


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
