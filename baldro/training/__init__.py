"""One run's training: the update of a step, the loop around it, its schedule, adapters, optimiser and state."""
