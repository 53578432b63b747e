"""`baldro check`: every run that a config means, or what is wrong with it or with the rows of its benchmarks."""

import sys
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from baldro.benchmarks import Definition
from baldro.config import load
from baldro.errors import BaldroError, placed
from baldro.places import Source, find
from baldro.plan import slow_bf16
from baldro.runs import check_packages


def run(options: Namespace) -> None:
    """What the verb's options say. Runs go to standard output, a line for each benchmark and warnings to standard error.

    Raises:
        BaldroError: the first mistake in the config; the last benchmark that cannot be loaded, when all have been tried.
    """
    experiment = load(options.config)
    runs = experiment.lineage()
    check_packages(runs)
    _open({name: experiment.definition(name) for name in experiment.benchmarks}, hub=options.hub)
    for each in runs:
        print(each.id)
    if slow := slow_bf16(experiment):
        print(slow, file=sys.stderr)


def _open(definitions: Mapping[str, Definition], *, hub: bool) -> None:
    """Load every benchmark, as `baldro benchmark` will, and say what that says.

    Args:
        hub: those too of which a part is on the hub, where the cache or the network is asked for it.
    """
    mistakes: list[BaldroError] = []
    for name, definition in definitions.items():
        far = [] if hub else _on_the_hub(definition)
        try:
            with placed(f"benchmark {name}"):
                lines = [f"not opened, for {far[0]} is on the hub; --hub opens it"] if far else _said(definition)
        except BaldroError as error:
            mistakes.append(error)
        else:
            for line in lines:
                print(f"benchmark {name}: {line}", file=sys.stderr)
    for error in mistakes[:-1]:  # the last one is told by whoever called
        print(f"baldro check: {error}", file=sys.stderr)
    if mistakes:
        raise mistakes[-1]


def _said(definition: Definition) -> list[str]:
    """Its rows by split, and what is doubtful about them."""
    frame = definition.load()
    sizes = ", ".join(f"{split} {n}" for split, n in frame.groupby("split", sort=False).size().items())
    return [f"rows: {sizes}", *(f"warning: {note}" for note in frame.attrs.get("notes", ()))]


def _on_the_hub(definition: Definition) -> list[Source]:
    """Of the places that its rows come from those on the hub."""
    given = ((key, getattr(definition, key)) for key in definition.data_keys())
    found = (find(value, what=key) for key, value in given if _is_places(value))
    return [source for source in found if source and source.hub]


def _is_places(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)
