"""The command line: arguments, and nothing else (`baldro VERB --help`). What a verb does is in `baldro.jobs`."""

from baldro.cli.main import main

__all__ = ["main"]
