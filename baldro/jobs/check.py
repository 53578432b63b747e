"""`baldro check`: every run that a config means, or what is wrong with it."""

import sys
from argparse import Namespace

from baldro.config import load
from baldro.plan import slow_bf16
from baldro.runs import check_packages


def run(options: Namespace) -> None:
    """What the verb's options say."""
    experiment = load(options.config)
    runs = experiment.lineage()
    check_packages(runs)
    for each in runs:
        print(each.id)
    if slow := slow_bf16(experiment):
        print(slow, file=sys.stderr)
