"""One verb a stage: every rule of the workflow is one call of one verb, which a person can run by hand (`baldro VERB --help`)."""

import sys

from baldro.errors import BaldroError

try:
    from baldro.cli.main import main
except BaldroError as error:  # a method's module that cannot be read, which every verb would read
    print(f"baldro: {error}", file=sys.stderr)
    raise SystemExit(2) from None

__all__ = ["main"]
