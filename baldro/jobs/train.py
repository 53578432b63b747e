"""`baldro train`: pretrain, finetune or unlearn one run, in a process for each device."""

from argparse import Namespace

from baldro.durable.lease import Stop
from baldro.jobs.several import processes


def run(options: Namespace) -> None:
    """What the verb's options say. Signals are noted before torch is loaded: one in the meantime would end the process silently."""
    with Stop() as stop, processes(options.devices, options.nodes):
        from baldro.jobs import training

        training.run(options, stop)
