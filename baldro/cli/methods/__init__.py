"""`baldro methods`: what there is to choose from, read from the methods' sources; on the terminal, or as the page docs/methods.md."""

from argparse import Namespace

from baldro.cli.methods.entries import entries
from baldro.cli.methods.names import NOT_HERE, OTHERWISE, told
from baldro.cli.methods.page import page
from baldro.cli.methods.text import about, listed
from baldro.durable.files import whole
from baldro.errors import BaldroError, unknown


def run(options: Namespace) -> None:
    """What the verb's options say."""
    known = entries()
    if options.output:
        if options.name:
            raise BaldroError(
                f"--output is the page of all methods, not of {options.name} alone; allowed: one of the two"
            )
        with whole(options.output) as beside:
            beside.write_text(page(known), encoding="utf-8")
    elif not options.name:
        print(listed(known))
    elif options.name.lower() in known:
        print(about(known[options.name.lower()]))
    else:
        text = told(options.name)
        if text is None:
            raise unknown("method", options.name, [*known, *OTHERWISE, *NOT_HERE])
        print(text)


__all__ = ["run"]
