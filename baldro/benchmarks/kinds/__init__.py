"""Kinds of benchmark, a file each, or a folder: what stands here is a kind everywhere, and no other file names it.

It has one subclass of `Definition`, called `Benchmark`; the name of the file or folder is the kind's.
"""
