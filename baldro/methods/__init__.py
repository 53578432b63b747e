"""Objectives, variants and combiners: a file each, and what declares them."""
