"""One verb a stage: every rule of the workflow is one call of one verb, which a person can run by hand (`baldro VERB --help`)."""

from baldro.cli.main import main

__all__ = ["main"]
