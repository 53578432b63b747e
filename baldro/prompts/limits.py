"""How much goes through a model at a time while it is scored; apart from what needs torch, since the plan counts with it."""

SEQUENCES = 256
"""Sequences in a batch, at most."""
