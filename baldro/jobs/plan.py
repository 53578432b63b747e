"""`baldro plan`: runs, GPU jobs, disk, what fits in a GPU's memory, and an estimate of GPU hours, with how it is estimated."""

from argparse import Namespace

from baldro.config import load
from baldro.plan import compare, describe


def run(options: Namespace) -> None:
    """What the verb's options say: a plan on one GPU, or a line for each of several."""
    experiment = load(options.config)
    print(describe(experiment, gpu=options.gpu[0]) if len(options.gpu) == 1 else compare(experiment, options.gpu))
