"""`baldro model`: where a model's parts are, each looked up and its prompt tried, before anything is trained."""

from argparse import Namespace

from baldro.durable.files import parse_json
from baldro.models.description import describe
from baldro.records import model


def run(options: Namespace) -> None:
    """What the verb's options say."""
    definition = parse_json(options.definition, what="--definition")
    found = describe(options.name, definition, new_tokens=options.max_new_tokens)
    model.write(options.output, found)
    print(f"{options.output}: {found.as_dict()}")
