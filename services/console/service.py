"""The console's process: no queue and no handler, but a web server beside the chassis that all services have.

Reads the store and its change stream; publishes what people ask for: ``job.requested``, ``job.cancel_requested``,
``job.resume_requested``, ``suite.requested``, ``estimate.requested``, what is asked about schedules, and what a held
job waits for once an operator has decided.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from functools import partial

import structlog

from metriq_gym.bus.port import Delivery, Queue
from metriq_gym.client import Client
from metriq_gym.service.health import Check
from metriq_gym.service.service import Context, Service

from . import rendering
from .access import Access
from .app import create_app
from .desk import Desk
from .events import Hub
from .letters import letters_of
from .overview import overview
from .server import answered, served
from .sharing import SharedWork

log = structlog.get_logger()
_FIRST = ("/login", "/api/openapi.json")
"""What is asked for before anybody can: neither asks the store for anything."""


class Console(Service):
    """The page and the HTTP API."""

    name = "console"
    queue = Queue("metriq.console", ())
    """There is none at the broker: nothing is sent to the console."""
    default_port = 8085
    uses_workers = False

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.access = Access(context.settings)
        self.port = context.settings.console_port
        """Where it is served, once it is."""
        self.hub = Hub(self.store)
        self._context = context
        self._stack = AsyncExitStack()
        self._serving = False

    @property
    def url(self) -> str:
        """Where a browser on this machine finds it."""
        host = self.settings.console_host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/"

    async def handle(self, delivery: Delivery) -> None:
        """Never called."""
        raise NotImplementedError

    async def start(self) -> None:
        """Serve."""
        context = self._context
        desk = Desk(
            settings=self.settings,
            store=self.store,
            bus=self.bus,
            client=Client(self.store, self.bus),
            pool=context.pool,
            access=self.access,
            hub=self.hub,
            letters=letters_of(self.settings, self.bus, self.store),
            overview=SharedWork(partial(overview, self.store, self.bus, self.settings)),
        )
        app = create_app(desk)
        await asyncio.to_thread(rendering.warm)
        for path in _FIRST:
            await answered(app, path)
        self.port = await self._stack.enter_async_context(
            served(app, self.settings.console_host, self.settings.console_port)
        )
        # Inside the server: when it stops, the viewers' streams end first, and it need not wait for them.
        await self._stack.enter_async_context(self.hub.running())
        self._serving = True
        log.info("console", url=self.url)

    async def stop(self) -> None:
        """Let go of those who look; their pages come back by themselves."""
        self._serving = False
        await self._stack.aclose()

    def live_checks(self) -> dict[str, Check]:
        """Return that it serves."""
        return {"console is served": self._is_serving}

    def ready_checks(self) -> dict[str, Check]:
        """Return that it serves."""
        return {"console is served": self._is_serving}

    async def _is_serving(self) -> bool:
        return self._serving
