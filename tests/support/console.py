"""The whole system in the test's own process with the console, served at a free port, for tests that use it by HTTP."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
from fastapi import FastAPI

from metriq_gym.bus.memory import MemoryBus
from metriq_gym.client import Client
from metriq_gym.service.pool import Pool
from metriq_gym.service.service import Context, Service, running
from metriq_gym.settings import Settings
from metriq_gym.store import Store
from services.console import Console, service
from services.console.app import create_app
from services.console.desk import Desk
from services.dispatcher import Dispatcher
from services.exporter import Exporter
from services.poller import Poller
from services.scorer import Scorer
from tests.support import forks
from tests.support.patience import PATIENCE
from tests.support.plain import plain_client

WIT = {"benchmark_name": "WIT", "num_qubits": 6, "shots": 100}
REQUEST: dict[str, Any] = {"provider": "local", "device": "aer_simulator", "config": WIT}
TOKENS = {
    "viewer": "a token to look with",
    "submitter": "a token to ask for jobs with",
    "operator": "a token to do everything with",
}
WITH_TOKENS = {f"console_{role}_token": token for role, token in TOKENS.items()}


@dataclass
class ServedConsole:
    """A console and what is behind it."""

    console: Console
    context: Context
    bus: MemoryBus
    store: Store
    http: httpx.AsyncClient
    """Asks without a token."""
    stack: AsyncExitStack = field(repr=False)

    @property
    def url(self) -> str:
        return self.console.url.rstrip("/")

    def as_role(self, role: str) -> httpx.AsyncClient:
        """A client with a role's token."""
        return plain_client(
            base_url=f"{self.url}/api/v1", headers={"Authorization": f"Bearer {TOKENS[role]}"}, timeout=PATIENCE
        )

    @property
    def viewers(self) -> int:
        """How many listen to events."""
        return self.console.hub.viewers

    @property
    def client(self) -> Client:
        """One that publishes as the console does."""
        return Client(self.store, self.bus)

    async def start(self, port: int) -> None:
        """Start another console at a port."""
        settings = self.context.settings.model_copy(update={"console_port": port})
        self.console = Console(Context(settings, self.bus, self.store, self.context.pool))
        await self.console.start()

    async def restart(self) -> None:
        """Stop the console and start another at the same port."""
        port = self.console.port
        await self.console.stop()
        await self.start(port)


_DOCUMENT: dict[str, Any] = {}


def _app(desk: Desk) -> FastAPI:
    """A console's application; all that are made have one description, since to write it takes half a second."""
    app = create_app(desk)
    write = app.openapi

    def openapi() -> dict[str, Any]:
        if not _DOCUMENT:
            _DOCUMENT.update(write())
        return _DOCUMENT

    app.openapi = openapi  # type: ignore[method-assign]
    return app


@asynccontextmanager
async def served_console(
    mongo_url: str, database: str, folder: Path, *, services: bool = True, **settings: Any
) -> AsyncIterator[ServedConsole]:
    """Run a console while inside, with all services or alone."""
    given = Settings(
        **{
            "data_dir": folder,
            "workers": 1,
            "poll_seconds": 0.1,
            "console_port": 0,
            "console_requests_per_second": 10_000,
            "grace_seconds": 5,
            **settings,
        }
    )
    async with AsyncExitStack() as stack:
        stack.enter_context(mock.patch.object(service, "create_app", _app))
        stack.enter_context(forks.workers())
        pool = await stack.enter_async_context(Pool(1))
        store = await stack.enter_async_context(Store.at(mongo_url, database))
        bus = await stack.enter_async_context(MemoryBus())
        context = Context(given, bus, store, pool, letters_to_stop=math.inf)
        kinds: list[type[Service]] = [Dispatcher, Poller, Scorer, Exporter] if services else []
        await stack.enter_async_context(running([kind(context) for kind in kinds], 5))
        console = Console(context)
        await console.start()
        served = ServedConsole(console, context, bus, store, plain_client(timeout=PATIENCE), stack)
        served.http.base_url = httpx.URL(f"{served.url}/api/v1")
        try:
            yield served
        finally:
            await served.http.aclose()
            await served.console.stop()
