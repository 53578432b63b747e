"""`baldro report`: an experiment's tables, figures and HTML page."""

from argparse import Namespace
from pathlib import Path

import yaml

from baldro.config import load
from baldro.durable.files import parse_json, read_text
from baldro.records import benchmark
from baldro.records import report as record
from baldro.report import write_report
from baldro.report.paper import write_paper
from baldro.runs import Experiment


def run(options: Namespace) -> None:
    """What the verb's options say."""
    experiment, text = config_of(options.config)
    given = dict(
        name=experiment.name,
        description=experiment.description,
        runs=[{"id": each.id, **each.asdict()} for each in experiment.runs],
        results=options.results,
        output=record.place(options.results, experiment.name),
        config_text="\n".join([text, *map(_text, experiment.included)]),
        notes=_doubts(experiment, options.results),
        allow_missing=options.allow_missing,
    )
    if experiment.exhibits:
        write_paper(exhibits=experiment.exhibits, **given)
    else:
        write_report(
            selection=dict(experiment.selection),
            metrics=experiment.columns,
            attribution=experiment.attribution,
            **given,
        )


def config_of(option: str) -> tuple[Experiment, str]:
    """The experiment of a config file, or of a config given as JSON, and its text."""
    if not option.lstrip().startswith("{"):
        return load(option), read_text(Path(option), what="a YAML file")
    config = parse_json(option, what="--config")
    return load(config), yaml.safe_dump(config, sort_keys=False)


def _text(path: str) -> str:
    """A config of a paper's experiment, under its name."""
    return f"# {Path(path).name}\n{read_text(Path(path), what='a YAML file')}"


def _doubts(experiment: Experiment, results: Path) -> dict[str, str]:
    """Heading -> what was noted of a benchmark's rows when its table was made."""
    tables = {name: benchmark.place(results, name) for name in experiment.benchmarks}
    said = {name: benchmark.notes(path) for name, path in tables.items() if path.is_file()}
    return {f"Data of {name}": " ".join(f"{line}." for line in lines) for name, lines in said.items() if lines}
