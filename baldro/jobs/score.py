"""`baldro score`: a model -> evidence: per sample, candidate answer and token, and greedy continuations."""

from argparse import Namespace

from baldro.durable.files import remove
from baldro.jobs import inputs, scoring
from baldro.jobs.several import is_first, leased, processes
from baldro.records import evidence, finished


def run(options: Namespace) -> None:
    """What the verb's options say."""
    given, output = inputs.read(options), options.output
    own = options.start is not None and options.start.resolve() == (output.parent / finished.MODEL).resolve()
    # `original` has two verbs in its folder
    with processes(options.devices, options.nodes), leased(output.parent, alone="" if own else output.name) as lease:
        scoring.check(options, given)
        network, tokenizer = inputs.open_to_score(given, shard=bool(options.shard))
        if given.run.quantised_to:
            from baldro.models.quantised import quantise

            quantise(network, given.run.quantised_to)
        frame = scoring.take(options, given, network, tokenizer)
        if not is_first():
            return
        evidence.write(output, frame, whole=lease.whole)
        if own:  # scored: what was kept for that is not needed again
            remove(finished.place(output.parent).parent)
