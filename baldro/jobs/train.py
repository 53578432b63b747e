"""`baldro train`: pretrain, finetune or unlearn one run."""

from argparse import Namespace

from baldro.durable.lease import Stop


def run(options: Namespace) -> None:
    """What the verb's options say. Signals are noted before torch is loaded: one in the meantime would end the process silently."""
    with Stop() as stop:
        from baldro.jobs import training

        training.run(options, stop)
