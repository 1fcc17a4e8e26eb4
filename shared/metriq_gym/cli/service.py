"""``mgym service run``."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from importlib.metadata import entry_points
from typing import Annotated

import typer

from metriq_gym.cli.errors import Usage
from metriq_gym.cli.output import say
from metriq_gym.client.client import embedded, open_runtime
from metriq_gym.service.service import main as serve
from metriq_gym.settings import Settings
from metriq_gym.telemetry import logs

NAMES = ("dispatcher", "poller", "scorer", "exporter")


def run(
    names: Annotated[list[str], typer.Argument(metavar="SERVICE", help=f"Any of {', '.join(NAMES)}, or all.")],
) -> None:
    """Run services in one process until SIGTERM or Ctrl-C.

    With METRIQ_AMQP_URL and METRIQ_MONGO_URL; without both, all of them on the private database of this machine.
    """
    wanted = NAMES if names == ["all"] else tuple(dict.fromkeys(names))
    if unknown := [name for name in wanted if name not in NAMES]:
        raise Usage(f"no service is called {unknown[0]!r}; there are: {', '.join(NAMES)}, all")
    if names == ["all"] and embedded(settings := Settings()):
        asyncio.run(_embedded(settings))
        return
    found = {entry.name: entry for entry in entry_points(group="metriq_gym.services")}
    logging.disable(logging.NOTSET)
    serve(*(found[name].load() for name in wanted))


async def _embedded(settings: Settings) -> None:
    """Run the embedded runtime until it is told to stop."""
    logs.configure("all", settings.log_level, sys.stderr, secrets=logs.secrets_of(settings))
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with open_runtime(settings):
        say("no servers are set: everything runs here, with the private database; Ctrl-C ends it")
        await stopped.wait()
