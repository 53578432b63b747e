"""Kinds of benchmark, a file each: what a file here defines is a kind everywhere, and no other file names it.

A file has one subclass of `Definition`, called `Benchmark`; its name is the kind's.
"""
