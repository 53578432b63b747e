"""What each verb does: read files, call one stage, write files. Heavy imports are inside, so that a verb loads what it needs."""

import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from baldro.config import load
from baldro.durable.files import parse_json, read_json, read_text, remove, write_json
from baldro.durable.lease import Lease, Stop
from baldro.errors import BaldroError
from baldro.runs import Experiment

if TYPE_CHECKING:
    import pandas as pd


def check(options: Namespace) -> None:
    """List every run that a config means, or say what is wrong with it."""
    from baldro.plan import slow_bf16

    experiment = load(options.config)
    for run in experiment.lineage():
        print(run.id)
    if slow := slow_bf16(experiment):
        print(slow, file=sys.stderr)


def plan(options: Namespace) -> None:
    """Runs, GPU jobs, disk and an estimate of GPU hours, with how it is estimated."""
    from baldro.plan import describe

    print(describe(load(options.config), gpu=options.gpu))


def methods(options: Namespace) -> None:
    """List objectives, robust variants and combiners; tell all about one; or write the page of all of them."""
    from baldro.cli import methods

    methods.run(options)


def benchmark(options: Namespace) -> None:
    """Store a benchmark's records as one table."""
    from baldro import benchmarks as data

    frame = data.build(parse_json(options.definition, what="--definition"))
    data.write(frame, options.output)
    sizes = frame.groupby("split", sort=False).size()
    print(
        f"{options.output}: content {data.content_hash(frame)}; rows: {', '.join(f'{name} {n}' for name, n in sizes.items())}"
    )
    for note in frame.attrs.get("notes", ()):
        print(f"warning: {note}")
        if options.log:  # which has it, and nobody reads
            print(f"baldro benchmark: warning: {note}", file=sys.stderr)


def model(options: Namespace) -> None:
    """Look up where a model comes from and try its prompt; store what was found."""
    from baldro.models import describe

    definition = parse_json(options.definition, what="--definition")
    found = describe(options.name, definition, new_tokens=options.max_new_tokens)
    write_json(options.output, found)
    print(f"{options.output}: {found}")


def download(options: Namespace) -> None:
    """Bring a model's weights into this machine's cache of the hub, or check that they are where they are said to be."""
    from baldro.jobs import download

    download.run(options)


def train(options: Namespace) -> None:
    """Train one run: pretrain, finetune or unlearn."""
    with Stop() as stop:  # before anything else, or a signal while torch is loaded would end the process without a word
        from baldro.jobs import training

        training.run(options, stop)


def reference(options: Namespace) -> None:
    """Log-probabilities of the forget answers, or of other answers to the forget questions, under the model before unlearning."""
    from baldro import scoring
    from baldro.jobs import inputs

    given, output = inputs.read(options), options.output
    with Lease.take(output.parent, alone=output.name) as lease:
        network, tokenizer = inputs.open_to_score(given)
        sequences = inputs.answers_of(given, network, tokenizer, given.run.split, options.answers)
        frame = scoring.reference(network, sequences, batch_tokens=options.batch_tokens)
        with lease.whole(output) as beside:
            frame.to_parquet(beside, index=False)


def score(options: Namespace) -> None:
    """Take the evidence: per sample, candidate answer and token, and greedy continuations."""
    from baldro.jobs import finished, inputs

    given, output = inputs.read(options), options.output
    own = options.start is not None and options.start.resolve() == (output.parent / finished.OUTPUTS[0]).resolve()
    with Lease.take(output.parent, alone="" if own else output.name) as lease:  # `original` has two verbs in its folder
        frame = _evidence(options, given)
        with lease.whole(output) as beside:
            frame.to_parquet(beside, index=False)
        if own:  # scored: the model is not needed again
            remove(finished.place(output.parent).parent)


def _evidence(options: Namespace, given: Any) -> "pd.DataFrame":
    from baldro.jobs import inputs
    from baldro.scoring import evidence
    from baldro.scoring.fluency import clean_probability

    judge = _judge(options.fluency)
    if judge:
        _check_generates(given, options.holdout)
        clean_probability([], judge)  # a classifier that cannot be loaded ends the job here, not after the scoring
    network, tokenizer = inputs.open_to_score(given)
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
    )
    if "holdout" not in set(frame["section"]):
        print("nothing is held out (--holdout), so there are no metrics mia_* and privleak")
    if judge:
        del network  # one model in memory at a time
        told = frame["section"].eq("forget") & frame["generation"].notna()
        frame.loc[told, "clean"] = clean_probability(frame.loc[told, "generation"].tolist(), judge)
    return frame


def _judge(option: str | None) -> str | None:
    """The place of the classifier: as it is given, or at the commit that `baldro download` noted."""
    if option is None or not option.endswith(".json"):
        return option
    noted = read_json(Path(option))
    if not isinstance(noted, dict) or not {"place", "commit"} <= noted.keys():
        raise BaldroError(
            f"--fluency {option}: allowed: a folder, hub:owner/name@revision, or what `baldro download` wrote"
        )
    return f"{noted['place'].rpartition('@')[0]}@{noted['commit']}" if noted["commit"] else noted["place"]


def _check_generates(given: Any, holdout: str | None) -> None:
    """A one-line error where the forget split is not continued, so that no text of it can be judged.

    Not in `inputs`, whose code training depends on: what is asked in an evaluation must not train anew.
    """
    from baldro.benchmarks.protocol import sections

    asked = sections(set(given.records["split"]), given.run.split, holdout)
    if not any(section.name == "forget" and section.generate for section in asked):
        raise BaldroError(
            f"--fluency: nothing is generated on {given.run.benchmark}'s forget split; allowed: benchmarks of questions"
        )


def metrics(options: Namespace) -> None:
    """Turn evidence, ours or a published log, into numbers with intervals; needs no model."""
    from baldro.jobs import metrics as evaluation

    evaluation.run(options)


def report(options: Namespace) -> None:
    """Write an experiment's tables, figures and HTML page."""
    from baldro.report import write_report

    experiment, text = _config(options.config)
    write_report(
        name=experiment.name,
        description=experiment.description,
        runs=[{"id": run.id, **run.asdict()} for run in experiment.runs],
        results=options.results,
        output=options.results / "reports" / experiment.name,
        selection=dict(experiment.selection),
        attribution=experiment.attribution,
        config_text=text,
        notes=_doubts(experiment, options.results),
        allow_missing=options.allow_missing,
    )


def summary(options: Namespace) -> None:
    """Print an experiment's main table and where its tables, figures and report are."""
    from baldro.report import main_table_text

    folder = options.results / "reports" / _config(options.config)[0].name
    if not (folder / "report.html").is_file():
        raise BaldroError(
            f"{folder} has no report yet; run the experiment, or `baldro report --allow-missing` for what there is"
        )
    where = [f"tables   {folder / 'tables'}", f"figures  {folder / 'figures'}", f"report   {folder / 'report.html'}"]
    print("\n".join([main_table_text(folder), "", *where]))


def _doubts(experiment: Experiment, results: Path) -> dict[str, str]:
    """Heading -> what was noted of a benchmark's rows when its table was made."""
    from baldro.benchmarks.table import notes

    tables = {name: results / "data" / f"{name}.parquet" for name in experiment.benchmarks}
    said = {name: notes(path) for name, path in tables.items() if path.is_file()}
    return {f"Data of {name}": " ".join(f"{line}." for line in lines) for name, lines in said.items() if lines}


def _config(option: str) -> tuple[Experiment, str]:
    """The experiment of a config file, or of a config given as JSON, and its text."""
    if not option.lstrip().startswith("{"):
        return load(option), read_text(Path(option), what="a YAML file")
    config = parse_json(option, what="--config")
    return load(config), yaml.safe_dump(config, sort_keys=False)
