"""``mgym tyxonq probe``."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated

import typer

from metriq_gym.cli import opening
from metriq_gym.cli.options import AsJson, Yes
from metriq_gym.cli.output import confirm, emit, say, tell
from metriq_gym.client.session import quiet
from metriq_gym.errors import Permanent
from metriq_gym.providers.tyxonq.device_string import DeviceString
from metriq_gym.providers.tyxonq.plugin import TyxonQSettings
from metriq_gym.providers.tyxonq.probe import ProbePlan
from metriq_gym.providers.tyxonq.probe import probe as ask_service
from metriq_gym.settings import Settings


def probe(
    device: Annotated[str, typer.Option("--device", "-d", help="Where to run.")] = "homebrew_s2",
    yes: Yes = False,
    json: AsJson = False,
) -> None:
    """Ask a live TyxonQ service what no page tells.

    By three tiny tasks; says what they cost, and asks before.
    """
    opening.run(_ask(device, yes=yes, as_json=json))


async def _ask(device: str, *, yes: bool, as_json: bool) -> None:
    """Say what it costs, ask, and print what was found out; raises `Permanent` without a token or a yes."""
    quiet()
    settings = Settings().of(TyxonQSettings)
    if settings.token is None or settings.missing is not None:
        raise Permanent("the probe needs a token: set METRIQ_TYXONQ_TOKEN, or METRIQ_TYXONQ_TOKEN_FILE")
    say(str(ProbePlan(DeviceString.parse(device))))
    confirmed = yes or (sys.stdin.isatty() and confirm("submit them?"))
    if not confirmed:
        raise Permanent("nothing was sent: say yes, or give --yes")
    report = await ask_service(settings.token, settings.base_url, device, confirm=True)
    if as_json:
        emit(asdict(report))
        return
    tell(str(report))
    if report.counts_order is not None and report.counts_order != settings.counts_order:
        say(f"set METRIQ_TYXONQ_COUNTS_ORDER={report.counts_order} before anything else is run")
