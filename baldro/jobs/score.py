"""`baldro score`: a model -> evidence: per sample, candidate answer and token, and greedy continuations."""

from argparse import Namespace

from baldro.durable.files import remove
from baldro.durable.lease import Lease
from baldro.jobs import inputs, scoring
from baldro.records import evidence, finished


def run(options: Namespace) -> None:
    """What the verb's options say."""
    given, output = inputs.read(options), options.output
    own = options.start is not None and options.start.resolve() == (output.parent / finished.MODEL).resolve()
    with Lease.take(output.parent, alone="" if own else output.name) as lease:  # `original` has two verbs in its folder
        scoring.check(options, given)
        evidence.write(output, scoring.take(options, given, *inputs.open_to_score(given)), whole=lease.whole)
        if own:  # scored: what was kept for that is not needed again
            remove(finished.place(output.parent).parent)
