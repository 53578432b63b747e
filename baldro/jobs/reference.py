"""`baldro reference`: log-probabilities of answers to the forget questions, the gold ones or others, under the model before unlearning."""

from argparse import Namespace

from baldro import scoring
from baldro.jobs import inputs
from baldro.jobs.several import is_first, leased, processes
from baldro.records import reference


def run(options: Namespace) -> None:
    """What the verb's options say."""
    given, output = inputs.read(options), options.output
    with processes(options.devices, options.nodes), leased(output.parent, alone=output.name) as lease:
        network, tokenizer = inputs.open_to_score(given, shard=bool(options.shard))
        sequences = inputs.answers_of(given, network, tokenizer, given.run.split, options.answers)
        frame = scoring.reference(network, sequences, batch_tokens=options.batch_tokens)
        if is_first():
            reference.write(output, frame, whole=lease.whole)
