"""`baldro plan`: runs, GPU jobs, disk and an estimate of GPU hours, with how it is estimated."""

from argparse import Namespace

from baldro.config import load
from baldro.plan import describe


def run(options: Namespace) -> None:
    """What the verb's options say."""
    print(describe(load(options.config), gpu=options.gpu))
