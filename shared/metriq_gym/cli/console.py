"""``mgym console``."""

from __future__ import annotations

import asyncio
import webbrowser
from importlib.metadata import entry_points
from typing import Annotated, Any

import typer

from metriq_gym.cli.output import say
from metriq_gym.client.client import brief, open_runtime
from metriq_gym.client.session import quiet
from metriq_gym.errors import MetriqGymError
from metriq_gym.service.service import running
from metriq_gym.settings import Settings


def console(
    port: Annotated[int | None, typer.Option(help="Port to listen at; METRIQ_CONSOLE_PORT unless given.")] = None,
    no_open: Annotated[bool, typer.Option("--no-open", help="Do not open the browser.")] = False,
) -> None:
    """Serve the console, a web page and an HTTP API.

    Until Ctrl-C. Without servers in the settings everything runs in this process.
    """
    quiet()
    settings = brief(Settings())
    if port is not None:
        settings = settings.model_copy(update={"console_port": port})
    try:
        asyncio.run(_serve(settings, not no_open))
    except KeyboardInterrupt:
        say("stopped")


async def _serve(settings: Settings, opens: bool) -> None:
    found = list(entry_points(group="metriq_gym.services", name="console"))
    if not found:
        raise MetriqGymError("the console is not installed: pip install 'metriq-gym-services[console]'")
    kind: Any = found[0].load()
    async with open_runtime(settings) as context:
        service = kind(context)
        async with running([service], settings.grace_seconds):
            say(f"the console is at {service.url} (Ctrl-C stops it)")
            if opens:
                await asyncio.to_thread(webbrowser.open, service.url)
            await asyncio.Event().wait()
