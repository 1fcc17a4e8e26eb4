"""``mgym job estimate``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from metriq_gym.cli import opening, options
from metriq_gym.cli.options import AsJson, Compilation, Config, Device, Provider
from metriq_gym.cli.output import console, emit
from metriq_gym.client.configurations import read_configuration
from metriq_gym.client.session import quiet
from metriq_gym.jobs.estimate import Estimate
from metriq_gym.jobs.estimate import estimate as estimate_circuits
from metriq_gym.messages import CompilationName
from metriq_gym.providers import Providers
from metriq_gym.schema_validator import validate
from metriq_gym.settings import Settings
from metriq_gym.terminal import report

_SHOWN = 10


def estimate(
    config: Config,
    provider: Provider = options.DEFAULT_PROVIDER,
    device: Device = options.DEFAULT_DEVICE,
    compilation: Compilation = None,
    json: AsJson = False,
) -> None:
    """Say what a job would ask of a device.

    Circuits, shots, gates, depth. Nothing is submitted.
    """
    found = opening.run(_estimated(read_configuration(config), provider, device, compilation))
    if json:
        emit(found.to_dict())
    else:
        _show(console(), found)


async def _estimated(
    config: Mapping[str, Any], provider_name: str, device_id: str, compilation: CompilationName | None
) -> Estimate:
    """Build and compile the circuits; raises `InvalidRequest`, `NotFound` and `Unsupported`."""
    quiet()
    complete, _ = validate(config)
    async with Providers(Settings()) as providers:
        provider = providers.get(provider_name)
        chosen = compilation or Settings().compilation
        return estimate_circuits(complete, await provider.device(device_id), provider.compiler, chosen)


def _show(console: Console, found: Estimate) -> None:
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
