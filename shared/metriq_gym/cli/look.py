"""``mgym devices``, ``benchmarks``, ``schema`` and ``status``: what there is, and how the work stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from metriq_gym.cli import options
from metriq_gym.cli.options import AsJson

if TYPE_CHECKING:
    from metriq_gym.operations.status import Standing
    from metriq_gym.providers.provider import Device


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (devices, benchmarks, schema, status):
        app.command()(command)


def devices(
    provider: Annotated[
        str | None, typer.Option("--provider", "-p", help="Only this provider's.", autocompletion=options.providers)
    ] = None,
    json: AsJson = False,
) -> None:
    """List devices.

    Of those providers that the settings allow to be asked.
    """
    from dataclasses import asdict

    from metriq_gym.cli import opening
    from metriq_gym.cli.output import console, emit, say
    from metriq_gym.errors import Permanent
    from metriq_gym.providers import SHIPPED
    from metriq_gym.terminal import report

    async def ask() -> list[Device]:
        found: list[Device] = []
        async with opening.providers() as providers:
            for name in [provider] if provider else SHIPPED:
                try:
                    found += await providers.get(name).devices()
                except Permanent as error:
                    if provider:
                        raise
                    say(f"{name} left out: {error}")
        return found

    found = opening.run(ask())
    if json:
        emit([asdict(each) for each in found])
        return
    rows = (
        [each.provider, each.id, each.num_qubits, "simulator" if each.simulator else "processor", each.status]
        for each in found
    )
    report.show_table(console(), ("provider", "device", "qubits", "kind", "status"), rows)


def benchmarks(json: AsJson = False) -> None:
    """List benchmarks, parameters and examples."""
    from metriq_gym.benchmarks import names
    from metriq_gym.benchmarks import schema as schema_of
    from metriq_gym.cli.output import console, emit
    from metriq_gym.client.configurations import examples, read_configuration
    from metriq_gym.terminal import report

    shipped = {read_configuration(example)["benchmark_name"]: example for example in examples()}
    found: list[dict[str, Any]] = []
    for name in names():
        parameters = schema_of(name)["properties"].keys() - {"benchmark_name"}
        ordered = [each for each in schema_of(name)["properties"] if each in parameters]
        found.append({"benchmark_name": name, "parameters": ordered, "example": shipped.get(name)})
    if json:
        emit(found)
        return
    rows = ([each["benchmark_name"], ", ".join(each["parameters"]), each["example"] or ""] for each in found)
    report.show_table(console(), ("benchmark", "parameters", "example"), rows)


def _names(beginning: str) -> list[str]:
    from metriq_gym.benchmarks import names

    return [name for name in names() if name.startswith(beginning)]


def schema(
    name: Annotated[str, typer.Argument(metavar="BENCHMARK", help="A benchmark's name.", autocompletion=_names)],
) -> None:
    """Print the JSON Schema of a configuration."""
    from metriq_gym.cli.output import emit
    from metriq_gym.schema_validator import load_schema

    emit(load_schema(name))


def status(json: AsJson = False) -> None:
    """Say how the work stands.

    Jobs by state and age, overdue tasks, queues, dead letters, jobs that stand still, wait for an operator or could not
    be exported.
    """
    from dataclasses import asdict

    from metriq_gym.cli import opening
    from metriq_gym.cli.output import console, emit, say
    from metriq_gym.jobs.lifecycle import command
    from metriq_gym.operations.status import STILL_SECONDS, look
    from metriq_gym.settings import Settings
    from metriq_gym.store.catalogue import AGES
    from metriq_gym.terminal import report
    from metriq_gym.wording import duration

    async def ask() -> Standing:
        async with opening.store() as store:
            return await look(store, Settings())

    standing = opening.run(ask())
    unexported = [(job.id, target, export.error) for job in standing.stuck for target, export in job.exports.items()]
    if json:
        names = [*(f"under_{duration(age).replace(' ', '_')}" for age in AGES), "older"]
        emit(
            {
                "jobs": [asdict(each) | {"ages": dict(zip(names, each.ages, strict=True))} for each in standing.states],
                "due_tasks": [asdict(each) for each in standing.due],
                "queues": None if standing.queues is None else [asdict(each) for each in standing.queues],
                "standing_still": [{"job_id": job.id, "state": str(job.state)} for job in standing.still],
                "held": [{"job_id": job.id, "reason": job.held} for job in standing.held],
                "stuck": [{"job_id": job, "target": target, "reason": error} for job, target, error in unexported],
                "dead_letters": standing.dead_letters,
            }
        )
        return
    out = console()
    younger = [f"< {duration(age)}" for age in AGES]
    rows = [[each.state, each.count, *each.ages, duration(each.oldest_seconds)] for each in standing.states]
    report.show_table(out, ("state", "jobs", *younger, "older", "oldest, for"), rows)
    late = [[each.provider, each.count, duration(each.lag_seconds)] for each in standing.due]
    if late:
        report.show_table(out, ("tasks due at", "tasks", "due since"), late)
    if standing.queues is not None:
        queues = ([each.name, each.messages, each.consumers] for each in standing.queues)
        report.show_table(out, ("queue", "messages", "consumers"), queues)
    still = [[job.id, job.state, report.age(job.updated_at)] for job in standing.still]
    if still:
        report.show_table(out, ("standing still", "state", "for"), still)
        say("`mgym doctor` says what is away")
    waiting = [[job.id, job.held, command(job)] for job in standing.held]
    if waiting:
        report.show_table(out, ("held job", "because", "decide with"), waiting)
    if unexported:
        failed = ([job, error, f"mgym job upload {job} --to {target}"] for job, target, error in unexported)
        report.show_table(out, ("exported nowhere", "because", "once more with"), failed)
    if standing.dead_letters:
        report.show_table(out, ("dead letters", "look at them with"), [[standing.dead_letters, "mgym dead list"]])
    if not (late or still or waiting or unexported or standing.dead_letters):
        minutes = duration(STILL_SECONDS)
        out.print(f"no task is overdue, no job is held, stuck, or has stood still for {minutes}", highlight=False)
    if standing.queue_error is not None:
        say(f"no queues: {standing.queue_error}")
