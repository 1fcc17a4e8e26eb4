"""What a job would ask of its device, as a person reads it."""

from __future__ import annotations

from rich.console import Console

from metriq_gym.jobs.estimate import Estimate
from metriq_gym.terminal.report import show_facts, show_table

_DEEPEST = 10
"""Circuits that are shown."""


def show_estimate(console: Console, found: Estimate) -> None:
    """Print what a job would ask of its device: totals, and the deepest circuits."""
    built, compiled = found.built, found.compiled
    facts = {
        "benchmark": found.benchmark_name,
        "device": f"{found.provider}/{found.device}",
        "circuits": f"{len(found.circuits):,}",
        "shots": f"{found.shots:,}",
    }
    show_facts(console, facts)
    rows: list[list[object]] = [
        ["qubits", built.qubits, compiled.qubits],
        ["one-qubit gates", f"{built.one_qubit_gates:,}", f"{compiled.one_qubit_gates:,}"],
        ["two-qubit gates", f"{built.two_qubit_gates:,}", f"{compiled.two_qubit_gates:,}"],
        ["depth", f"{built.depth:,}", f"{compiled.depth:,}"],
    ]
    show_table(console, ("all circuits", "as built", "as compiled"), rows)
    deepest = sorted(enumerate(found.circuits), key=lambda item: -item[1].compiled.depth)[:_DEEPEST]
    each_row = (
        [number, each.shots, each.compiled.qubits, each.compiled.two_qubit_gates, each.compiled.depth]
        for number, each in deepest
    )
    columns = ("deepest circuits", "shots", "qubits", "two-qubit gates", "depth")
    show_table(console, columns, each_row)
