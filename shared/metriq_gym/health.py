"""Liveness and readiness over HTTP: ``/livez`` says restart me, ``/readyz`` says send me no work yet."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

from aiohttp import web

Check = Callable[[], Awaitable[bool]]
"""Whether one thing a service needs is as it should be."""


@asynccontextmanager
async def serve_health(
    host: str, port: int, live: Mapping[str, Check], ready: Mapping[str, Check]
) -> AsyncIterator[int]:
    """Serve both pages while inside, and yield the port.

    Each answers 200 when all of its checks hold and 503 otherwise, with every check's outcome as a JSON object.
    A service that is not live is not ready. Checks may be added while it runs.
    """

    def page(*groups: Mapping[str, Check]) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(_: web.Request) -> web.Response:
            outcome = {name: await check() for checks in groups for name, check in checks.items()}
            return web.json_response(outcome, status=200 if all(outcome.values()) else 503)

        return handle

    app = web.Application()
    app.router.add_get("/livez", page(live))
    app.router.add_get("/readyz", page(live, ready))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
