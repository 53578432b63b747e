"""Gradient difference: ascent on forget, descent on retain (Liu et al. 2022, arXiv 2203.12817); the forget loss is gradascent's."""

from baldro.objectives.gradascent import loss, token_loss

__all__ = ["loss", "token_loss"]
