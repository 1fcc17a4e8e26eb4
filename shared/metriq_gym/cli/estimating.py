"""Estimating what a job would ask of a device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from metriq_gym.cli import opening
from metriq_gym.jobs.estimate import Estimate, estimate
from metriq_gym.schema_validator import validate
from metriq_gym.terminal import report

_SHOWN = 10


async def make_estimate(config: Mapping[str, Any], provider_name: str, device_id: str) -> Estimate:
    """Build and compile the circuits; raises `InvalidRequest`, `NotFound` and `Unsupported`."""
    complete, _ = validate(config)
    async with opening.providers() as providers:
        provider = providers.get(provider_name)
        return estimate(complete, await provider.device(device_id), provider.compiler)


def show_estimate(console: Console, found: Estimate) -> None:
    """Print totals, and the largest circuits."""
    built, compiled = found.built, found.compiled
    facts = {
        "benchmark": found.benchmark_name,
        "device": f"{found.provider}/{found.device}",
        "circuits": f"{len(found.circuits):,}",
        "shots": f"{found.shots:,}",
    }
    report.show_facts(console, facts)
    rows: list[list[object]] = [
        ["qubits", built.qubits, compiled.qubits],
        ["one-qubit gates", f"{built.one_qubit_gates:,}", f"{compiled.one_qubit_gates:,}"],
        ["two-qubit gates", f"{built.two_qubit_gates:,}", f"{compiled.two_qubit_gates:,}"],
        ["depth", f"{built.depth:,}", f"{compiled.depth:,}"],
    ]
    report.show_table(console, ("all circuits", "as built", "as compiled"), rows)
    deepest = sorted(enumerate(found.circuits), key=lambda item: -item[1].compiled.depth)[:_SHOWN]
    each_row = (
        [number, each.shots, each.compiled.qubits, each.compiled.two_qubit_gates, each.compiled.depth]
        for number, each in deepest
    )
    columns = ("deepest circuits", "shots", "qubits", "two-qubit gates", "depth")
    report.show_table(console, columns, each_row)
