"""``mgym devices``, ``benchmarks``, ``schema`` and ``status``: what there is, and how the work stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from metriq_gym.cli import options
from metriq_gym.cli.options import AsJson

if TYPE_CHECKING:
    from metriq_gym.providers.provider import Device
    from metriq_gym.store import Job
    from metriq_gym.store.catalogue import DueTasks, StateCount


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

    from metriq_gym import report
    from metriq_gym.cli import opening
    from metriq_gym.cli.output import console, emit, say
    from metriq_gym.errors import Permanent
    from metriq_gym.providers import SHIPPED

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
    from metriq_gym import report
    from metriq_gym.benchmarks import names
    from metriq_gym.benchmarks import schema as schema_of
    from metriq_gym.cli.output import console, emit
    from metriq_gym.configurations import examples, read_configuration

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


def schema(name: Annotated[str, typer.Argument(help="A benchmark's name.", autocompletion=_names)]) -> None:
    """Print the JSON Schema of a configuration."""
    from metriq_gym.cli.output import emit
    from metriq_gym.schema_validator import load_schema

    emit(load_schema(name))


def status(json: AsJson = False) -> None:
    """Say how the work stands.

    Jobs by state and age, overdue tasks, dead letters, jobs that wait for an operator or could be exported nowhere.
    """
    from dataclasses import asdict

    from metriq_gym import report
    from metriq_gym.cli import opening
    from metriq_gym.cli.output import console, emit

    async def look() -> tuple[list[StateCount], list[DueTasks], list[Job], list[Job]]:
        async with opening.store() as store:
            catalogue = store.catalogue
            return await catalogue.by_state(), await catalogue.due(), await catalogue.held(), await catalogue.stuck()

    states, due, held, stuck = opening.run(look())
    dead = opening.run(_dead_letters())
    unexported = [(job.id, target, export.error) for job in stuck for target, export in job.exports.items()]
    if json:
        emit(
            {
                "jobs": [asdict(each) for each in states],
                "due_tasks": [asdict(each) for each in due],
                "held": [{"job_id": job.id, "reason": job.held} for job in held],
                "stuck": [{"job_id": job, "target": target, "reason": error} for job, target, error in unexported],
                "dead_letters": dead,
            }
        )
        return
    out = console()
    rows = [[each.state, each.count, report.duration(each.oldest_seconds)] for each in states]
    late = [[each.provider, each.count, report.duration(each.lag_seconds)] for each in due]
    waiting = [[job.id, job.held, f"mgym job resolve {job.id}"] for job in held]
    report.show_table(out, ("state", "jobs", "oldest, for"), rows)
    if late:
        report.show_table(out, ("tasks due at", "tasks", "due since"), late)
    if waiting:
        report.show_table(out, ("held job", "because", "decide with"), waiting)
    if unexported:
        failed = ([job, error, f"mgym job upload {job} --to {target}"] for job, target, error in unexported)
        report.show_table(out, ("exported nowhere", "because", "once more with"), failed)
    if dead:
        report.show_table(out, ("dead letters", "look at them with"), [[dead, "mgym dead list"]])
    if not late and not waiting and not unexported and not dead:
        out.print("no task is overdue, no job is held or stuck")


async def _dead_letters() -> int | None:
    """Count them; None where none are kept, or the broker does not say."""
    from metriq_gym.bus.port import DEAD_LETTERS
    from metriq_gym.bus.rabbitmq.inspection import inspect
    from metriq_gym.cli.output import say
    from metriq_gym.errors import Transient
    from metriq_gym.settings import Settings

    settings = Settings()
    if settings.amqp_url is None:
        return None
    try:
        state = await inspect(settings.amqp_url.get_secret_value())
    except Transient as error:
        say(f"dead letters are not counted: {error}")
        return None
    return next(queue.messages for queue in state.queues if queue.name == DEAD_LETTERS)
