"""Quantum benchmarks as an event-driven service: the library the services and the command line share."""

__version__ = "0.1.0"
