"""``mgym circuit``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metriq_gym.cli import options
from metriq_gym.cli.options import (
    AsJson,
    Compilation,
    Device,
    Force,
    Group,
    Plot,
    Prior,
    Provider,
    Remarks,
    Tags,
)
from metriq_gym.cli.run import run_configuration
from metriq_gym.client.configurations import read_circuit


def circuit(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The circuit in OpenQASM 2 or 3.")],
    provider: Provider = options.DEFAULT_PROVIDER,
    device: Device = options.DEFAULT_DEVICE,
    shots: Annotated[int, typer.Option(min=1, max=1_000_000, help="Repetitions of the circuit.")] = 1024,
    observable: Annotated[
        list[str] | None,
        typer.Option(
            "--observable",
            metavar="ZZ",
            help="A product of Z whose expectation value is wanted; can be given again.",
            show_default=False,
        ),
    ] = None,
    prior: Prior = None,
    remarks: Remarks = None,
    group: Group = None,
    force: Force = False,
    compilation: Compilation = None,
    tag: Tags = None,
    json: AsJson = False,
    plot: Plot = None,
) -> None:
    """Run a circuit and print its counts.

    On a terminal with a histogram, else as JSON. An observable has a Z or an I for each bit of an outcome.
    """
    run_configuration(
        read_circuit(file, shots, observable or []),
        provider,
        device,
        prior=prior,
        remarks=remarks,
        group=group,
        force=force,
        compilation=compilation,
        tag=tag,
        json=json,
        plot=plot,
    )
