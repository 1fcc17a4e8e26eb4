"""``mgym job estimate``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any
from uuid import uuid4

import typer
from rich.console import Console

from metriq_gym.cli import opening, options
from metriq_gym.cli.options import AsJson, Compilation, Config, Device, Provider
from metriq_gym.cli.output import console, emit, say
from metriq_gym.client.client import decision_about, failure_of
from metriq_gym.client.configurations import read_configuration
from metriq_gym.client.session import quiet
from metriq_gym.errors import Permanent
from metriq_gym.exporters.record import what_came_of
from metriq_gym.jobs import Job
from metriq_gym.jobs.estimate import Estimate
from metriq_gym.jobs.estimate import estimate as estimate_circuits
from metriq_gym.messages import CompilationName
from metriq_gym.providers import Providers
from metriq_gym.providers.provider import CompilingProvider
from metriq_gym.schema_validator import validate
from metriq_gym.settings import Settings
from metriq_gym.terminal import report
from metriq_gym.terminal.estimates import show_estimate
from metriq_gym.terminal.follow import ProgressLine, follow

_SHOWN = 10


def estimate(
    config: Config,
    provider: Provider = options.DEFAULT_PROVIDER,
    device: Device = options.DEFAULT_DEVICE,
    compilation: Compilation = None,
    at_provider: Annotated[
        bool,
        typer.Option("--at-provider", help="Have the provider compile the circuits too, by a dry run; nothing is run."),
    ] = False,
    json: AsJson = False,
) -> None:
    """Say what a job would ask of a device.

    Circuits, shots, gates, depth. Nothing is run.
    """
    chosen = read_configuration(config)
    checked = opening.run(_checked(chosen, provider, device, compilation)) if at_provider else None
    found = opening.run(_estimated(chosen, provider, device, compilation, None if checked is None else checked.seed))
    if json:
        there = {} if checked is None else {"at_provider": what_came_of(checked)}
        emit(found.to_dict() | there)
        return
    show_estimate(console(), found)
    if found.misfit is not None:
        say(f"note: a job of it would be refused: {found.misfit}")
    if checked is not None:
        _compare(console(), found, checked)


async def _checked(
    config: Mapping[str, Any], provider_name: str, device_id: str, compilation: CompilationName | None
) -> Job:
    """Return a dry run once its provider has compiled the circuits; raises why it has not."""
    async with Providers(Settings()) as providers:
        provider = providers.get(provider_name)
        if not isinstance(provider, CompilingProvider):
            raise Permanent(f"provider {provider_name!r} compiles nothing itself; leave out --at-provider")
        target = provider.dry_run_on(device_id)
    async with opening.client() as client:
        job_id = uuid4().hex
        with opening.way_back(f"mgym job poll {job_id}"), ProgressLine(f"dry run on {target}") as progress:
            await client.dispatch(config, provider_name, target, job_id=job_id, compilation=compilation)
            job = await follow(client, job_id, progress)
    if (error := decision_about(job) or failure_of(job)) is not None:
        raise error
    return job


async def _estimated(
    config: Mapping[str, Any],
    provider_name: str,
    device_id: str,
    compilation: CompilationName | None,
    seed: int | None,
) -> Estimate:
    """Build and compile the circuits; raises `InvalidRequest`, `NotFound` and `Unsupported`."""
    quiet()
    complete, _ = validate(config)
    async with Providers(Settings()) as providers:
        provider = providers.get(provider_name)
        chosen = compilation or Settings().compilation
        return estimate_circuits(complete, await provider.device(device_id), provider.compiler, chosen, seed)


def _compare(console: Console, found: Estimate, checked: Job) -> None:
    """Print what the provider made of the circuits that we sent it."""
    rows: list[list[object]] = []
    for position, (ours, theirs) in enumerate(zip(found.circuits, checked.checked, strict=True)):
        qubits, depth = (report.number(theirs.said.get(name)) for name in ("qubits", "depth"))
        rows.append([position, ours.compiled.qubits, qubits, ours.compiled.depth, depth])
    deepest = sorted(rows, key=lambda row: -int(str(row[3])))[:_SHOWN]
    columns = ("deepest circuits", "qubits, ours", "qubits, theirs", "depth, ours", "depth, theirs")
    report.show_table(console, columns, deepest)
