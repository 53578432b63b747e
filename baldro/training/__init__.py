"""Training of one run: the update of a step, the loop around it, schedule, adapters, optimiser, devices and training state."""
