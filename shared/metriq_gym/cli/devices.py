"""``mgym devices``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console

from metriq_gym.cli import opening, options
from metriq_gym.cli.options import AsJson
from metriq_gym.cli.output import console, emit, say
from metriq_gym.client.session import quiet
from metriq_gym.errors import MetriqGymError
from metriq_gym.parts import MissingPart
from metriq_gym.providers import Providers, installed
from metriq_gym.providers.plugin import one_line
from metriq_gym.providers.provider import Device
from metriq_gym.settings import Settings
from metriq_gym.terminal.tables import fits, show_table


def devices(
    provider: Annotated[
        str | None, typer.Option("--provider", "-p", help="Only this provider's.", autocompletion=options.providers)
    ] = None,
    json: AsJson = False,
) -> None:
    """List devices.

    Of those providers that the settings allow to be asked.
    """
    left_out: list[str] = []

    async def ask() -> list[Device]:
        found: list[Device] = []
        async with Providers(Settings()) as providers:
            for name in [provider] if provider else [*installed().plugins, *installed().broken]:
                try:
                    found += await providers.get(name).devices()
                except MissingPart:
                    raise
                except Exception as error:
                    if provider:
                        raise
                    left_out.append(
                        f"{name} left out: {error if isinstance(error, MetriqGymError) else one_line(error)}"
                    )
        return found

    quiet()
    found = opening.run(ask())
    for line in left_out:
        say(line)
    if json:
        emit([asdict(each) for each in found])
        return
    columns = {title: name for title, name in _CALIBRATION.items() if any(name in each.metadata for each in found)}
    rows = [
        [
            each.provider,
            each.id,
            each.num_qubits,
            "simulator" if each.simulator else "processor",
            each.status if each.status in _IN_USE else f"{each.status} (out of use)",
            *(_number(each.metadata.get(name)) for name in columns.values()),
        ]
        for each in found
    ]
    show(console(), [*columns], rows)


def show(out: Console, calibration: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print the devices' table; on a terminal that is too narrow for it, calibrations in a table of their own."""
    if fits(out, (*_COLUMNS, *calibration), rows):
        show_table(out, (*_COLUMNS, *calibration), rows)
        return
    facts = len(_COLUMNS)
    show_table(out, _COLUMNS, [row[:facts] for row in rows])
    if calibrated := [[row[1], *row[facts:]] for row in rows if any(row[facts:])]:
        show_table(out, ("device", *calibration), calibrated)


_COLUMNS = ("provider", "device", "qubits", "kind", "status")
_IN_USE = ("online", "unknown")
_CALIBRATION = {
    "T1 (µs)": "t1_us",
    "T2 (µs)": "t2_us",
    "SQ": "single_qubit_gate_error",
    "CZ": "cz_gate_error",
    "F0": "readout_error_0",
    "F1": "readout_error_1",
}


def _number(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else ""
