"""What a service says of itself over HTTP.

``/livez`` says restart me, ``/readyz`` send me no work yet, ``/metrics`` how it is going, for Prometheus.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client.exposition import choose_encoder

from metriq_gym.service.connections import bounded
from metriq_gym.telemetry.metrics import REGISTRY

Check = Callable[[], Awaitable[bool | str]]
"""Whether one thing a service needs is as it should be; or why it is not, in words without secrets."""
Measure = Callable[[], Awaitable[None]]
"""Brings up to date what is measured only when it is asked for; raises nothing."""


KEEPALIVE_SECONDS = 20.0
"""How long a connection stays open without a request: longer than the pause between two questions of Prometheus."""


async def _asked(check: Check) -> bool | str:
    """Return what a check says; one that fails says that it is not so."""
    try:
        return await check()
    except Exception as error:
        return f"cannot be told: {type(error).__name__}"


@asynccontextmanager
async def serve_health(
    host: str,
    port: int,
    live: Mapping[str, Check],
    ready: Mapping[str, Check],
    measures: Sequence[Measure] = (),
    notes: Mapping[str, Check] | None = None,
) -> AsyncIterator[int]:
    """Serve the pages while inside, and yield the port.

    The first two answer 200 when all of their checks hold and 503 otherwise, with every check's outcome as a JSON
    object. A service that is not live is not ready. `notes` are shown beside the latter and fail nothing. Before
    metrics are shown, each of `measures` is awaited. Checks, notes and measures may be added while it runs.

    One whose event loop is blocked does not answer: a probe takes a time-out for a no
    (`metriq_gym.service.watchdog` logs what blocks it).
    """

    def page(
        *groups: Mapping[str, Check], beside: Mapping[str, Check] | None = None
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(_: web.Request) -> web.Response:
            outcome = {name: await _asked(check) for checks in groups for name, check in checks.items()}
            status = 200 if all(each is True for each in outcome.values()) else 503
            told = {name: await _asked(check) for name, check in (beside or {}).items()}
            return web.json_response(outcome | told, status=status)

        return handle

    async def metrics(request: web.Request) -> web.Response:
        for measure in measures:
            await measure()
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(REGISTRY), headers={"Content-Type": content_type})

    app = web.Application()
    app.router.add_get("/livez", page(live))
    app.router.add_get("/readyz", page(live, ready, beside=notes))
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=KEEPALIVE_SECONDS)
    await runner.setup()
    assert runner.server is not None  # noqa: S101  (it has been set up)
    try:
        server = await asyncio.get_running_loop().create_server(bounded(runner.server), host, port, backlog=128)
        async with server:
            yield server.sockets[0].getsockname()[1]
    finally:
        await runner.cleanup()
