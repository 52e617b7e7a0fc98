"""Readers of published benchmarks, one family a file, each into the sets of evaluation/sets.py."""
