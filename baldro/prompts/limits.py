"""How much goes through a model at a time while it is scored. Imports no torch, since the plan uses it."""

SEQUENCES = 256
"""Most sequences in a batch."""
