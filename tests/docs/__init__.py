"""Writes the parts of docs/benchmarks.md that follow from the code."""
