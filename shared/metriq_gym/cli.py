"""The command line, ``mgym``. Each command imports what it needs, so that ``mgym --help`` answers at once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from metriq_gym.store import Job

app = typer.Typer(
    name="mgym",
    help="Quantum benchmarks as an event-driven service.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
service = typer.Typer(help="Run the services.", no_args_is_help=True)
job = typer.Typer(help="Look at jobs.", no_args_is_help=True)
app.add_typer(service, name="service")
app.add_typer(job, name="job")

_INTERRUPTED = 130  # what shells report for SIGINT

SERVICES = ("dispatcher", "poller", "scorer", "exporter")


@app.command()
def run(
    config: Annotated[str, typer.Argument(help="A configuration file, or the name of a shipped example.")],
    provider: Annotated[str, typer.Option("--provider", "-p", help="Where the device is.")] = "local",
    device: Annotated[str, typer.Option("--device", "-d", help="The device.")] = "aer_simulator",
) -> None:
    """Run a benchmark, wait for it, and print its record as JSON."""
    import asyncio
    import json

    from metriq_gym.exporters.record import make_record
    from metriq_gym.follow import run_and_follow
    from metriq_gym.store import JobState

    ended = asyncio.run(run_and_follow(_read(config), provider, device))
    _warn(ended)
    if ended.state is not JobState.EXPORTED:
        _die(_why(ended))
    typer.echo(json.dumps(make_record(ended), indent=2))
    for export in ended.exports.values():
        typer.echo(f"saved to {export.location}" if export.location else f"not exported: {export.error}", err=True)


@job.command()
def view(job_id: Annotated[str, typer.Argument(help="The job's id.")]) -> None:
    """Print a job's document as JSON."""
    import asyncio

    from metriq_gym.client import open_runtime
    from metriq_gym.settings import Settings

    async def find() -> Job:
        async with open_runtime(Settings()) as runtime:
            return await runtime.store.jobs.get(job_id)

    typer.echo(asyncio.run(find()).model_dump_json(indent=2, by_alias=True))


@service.command("run")
def run_services(
    names: Annotated[list[str], typer.Argument(help=f"Any of {', '.join(SERVICES)}, or all.")],
) -> None:
    """Run services in this process until SIGTERM or Ctrl-C; needs METRIQ_AMQP_URL and METRIQ_MONGO_URL."""
    from importlib.metadata import entry_points

    from metriq_gym.service import main as serve

    wanted = SERVICES if names == ["all"] else tuple(dict.fromkeys(names))
    if unknown := [name for name in wanted if name not in SERVICES]:
        _die(f"no service is called {unknown[0]!r}; there are: {', '.join(SERVICES)}, all", code=2)
    found = {entry.name: entry for entry in entry_points(group="metriq_gym.services")}
    serve(*(found[name].load() for name in wanted))


def _read(config: str) -> dict[str, Any]:
    """Read a configuration from a path, or a shipped example of that file name."""
    import json
    from importlib.resources import files

    shipped = files("metriq_gym") / "schemas" / "examples" / Path(config).name
    path = Path(config)
    if not path.exists() and shipped.is_file():
        text = shipped.read_text(encoding="utf-8")
    else:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            _die(f"cannot read {config}: {error}", code=2)
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        _die(f"{config} is not JSON: {error}", code=2)
    if not isinstance(found, dict):
        _die(f"{config} must hold one JSON object", code=2)
    return found


def _warn(ended: Job) -> None:
    for warning in ended.warnings:
        typer.echo(f"warning: {warning['path']} {warning['message']}", err=True)


def _why(ended: Job) -> str:
    if ended.is_stuck:
        failed = "\n".join(f"  {target}: {export.error}" for target, export in ended.exports.items())
        return f"job {ended.id} has a result that could not be exported (mgym job view {ended.id}):\n{failed}"
    if ended.failure is None:
        return f"job {ended.id} was {ended.state}"
    lines = [f"  {each['path']}: {each['message']}" for each in ended.failure.problems] or [f"  {ended.failure.reason}"]
    return "\n".join([f"job {ended.id} is {ended.state} ({ended.failure.outcome}):", *lines])


def _die(message: str, code: int = 1) -> NoReturn:
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(code)


def main() -> None:
    """Run the command line; an error we know is a message, not a traceback."""
    from metriq_gym.errors import MetriqGymError

    try:
        app()
    except MetriqGymError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
