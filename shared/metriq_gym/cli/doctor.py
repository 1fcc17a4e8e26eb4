"""``mgym doctor``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.text import Text

from metriq_gym.cli import opening
from metriq_gym.cli.errors import FAILED
from metriq_gym.cli.options import AsJson
from metriq_gym.cli.output import console, emit
from metriq_gym.client.session import quiet
from metriq_gym.operations.doctor import Verdict, examine
from metriq_gym.settings import Settings
from metriq_gym.terminal import report


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
