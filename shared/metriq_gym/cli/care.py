"""``mgym doctor`` and ``mgym import``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metriq_gym.cli.options import AsJson


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(doctor)
    app.command("import")(import_)


def doctor(
    json: AsJson = False,
    management_url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="RabbitMQ's management API, if not at its usual port beside the broker."),
    ] = None,
) -> None:
    """Check what the work needs, say what to mend.

    Settings, servers, credentials, versions, queues and clocks.
    """
    from dataclasses import asdict

    from rich.text import Text

    from metriq_gym.cli import opening
    from metriq_gym.cli.errors import FAILED
    from metriq_gym.cli.output import console, emit
    from metriq_gym.client.session import quiet
    from metriq_gym.operations.doctor import Verdict, examine
    from metriq_gym.settings import Settings
    from metriq_gym.terminal import report

    quiet()
    findings = opening.run(examine(Settings(), management_url))
    if json:
        emit([asdict(each) for each in findings])
    else:
        styles = {Verdict.GOOD: "green", Verdict.NOTE: "yellow", Verdict.BAD: "red"}
        rows = (
            [Text(each.verdict, style=styles[each.verdict]), each.subject, each.found, each.remedy] for each in findings
        )
        report.show_table(console(), ("", "what", "found", "what to do"), rows)
    if any(each.verdict is Verdict.BAD for each in findings):
        raise typer.Exit(FAILED)


def import_(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The job file of metriq-gym's own tool: a job a line, as JSON.")
    ],
    json: AsJson = False,
) -> None:
    """Take over jobs of metriq-gym's own tool.

    Doing it again changes nothing. The exit code is 1 if a line is bad.
    """
    from metriq_gym.cli import opening
    from metriq_gym.cli.errors import FAILED
    from metriq_gym.cli.output import emit, say
    from metriq_gym.operations.importing import Report, import_jobs

    async def work() -> Report:
        async with opening.store() as store:
            return await import_jobs(store, file)

    done = opening.run(work())
    if json:
        emit(done.to_dict())
    else:
        for line in done.bad:
            say(f"{file}, line {line.number}: {line.reason}")
        for line in done.notes:
            say(f"note: {file}, line {line.number}: {line.reason}")
        say(f"{done.added} added, {done.updated} updated, {done.unchanged} there already, {len(done.bad)} bad")
    if done.bad:
        raise typer.Exit(FAILED)
