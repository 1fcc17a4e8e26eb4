"""What every request passes before anything reads it: bounds on its body, its rate and its origin; and every answer.

A request that changes something has to come from the console's own page, or from no page at all: a browser says where a
request comes from (``Origin``, ``Sec-Fetch-Site``), and what is no browser has no session that could be misused.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from . import problems
from .access import Access

SAFE = ("GET", "HEAD", "OPTIONS")
BODY_SECONDS = 20.0
"""How long a client may take to send a body."""
BURST_SECONDS = 4.0
"""A client that was quiet may ask so many seconds' worth of requests at once."""
CLIENTS = 10_000
PLOTLYS_STYLE = "'sha256-ji27qzEtxXZW+7dun6UwjHXJ18e6WAin1VvNtkzIE/o='"
"""The one style sheet, for maps, that Plotly adds to a page when it is loaded."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; "
    f"style-src 'self' {PLOTLYS_STYLE}; img-src 'self' data: blob:; "
    "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class Rates:
    """A token bucket for each client; the clients that were quiet for longest are forgotten first."""

    def __init__(self, per_second: float, now: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._burst = max(1.0, per_second * BURST_SECONDS)
        self._now = now
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, client: str) -> float:
        """Count a request; return for how many seconds the client should have waited, 0 if for none."""
        now = self._now()
        left, at = self._left.pop(client, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._per_second)
        allowed = left >= 1
        self._left[client] = (left - 1 if allowed else left, now)
        if len(self._left) > CLIENTS:
            self._left.popitem(last=False)
        return 0.0 if allowed else (1 - left) / self._per_second


class Guard:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, access: Access, max_body_bytes: int, rates: Rates) -> None:
        self._app = app
        self._access = access
        self._max_body_bytes = max_body_bytes
        self._rates = rates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sending = _guarded_send(send)
        try:
            self._check(scope)
        except HTTPException as error:
            await problems.response(error)(scope, receive, sending)
            return
        bounded = _Bounded(receive, self._max_body_bytes)
        if scope["method"] == "HEAD":
            await _head(self._app, scope, bounded, sending)
        else:
            await self._app(scope, bounded, sending)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        client = scope["client"][0] if scope.get("client") else ""
        if seconds := self._rates.wait(client):
            raise HTTPException(429, "too many requests", {"Retry-After": str(max(1, round(seconds)))})
        host = headers.get("host", "")
        if not self._access.knows_host(host):
            raise HTTPException(
                421, f"the console is not called {host[:100]!r}; METRIQ_CONSOLE_ALLOWED_HOSTS lists its names"
            )
        if scope["method"] not in SAFE and not _from_here(headers, host):
            raise HTTPException(403, "the request comes from another site's page")
        length = headers.get("content-length", "0")
        if length.isdigit() and int(length[:20]) > self._max_body_bytes:
            raise HTTPException(413, f"the body has {length[:20]} bytes; at most {self._max_body_bytes:,} are accepted")


async def _head(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer as to GET, without the body: it is not waited for, which of events has no end."""
    started: asyncio.Future[Message] = asyncio.get_running_loop().create_future()

    async def sending(message: Message) -> None:
        if not started.done():
            started.set_result(message)

    async def answer() -> None:
        await app({**scope, "method": "GET"}, receive, sending)

    answering = asyncio.create_task(answer())
    first: list[asyncio.Future[Any]] = [answering, started]
    try:
        await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
    finally:
        answering.cancel()
        await asyncio.wait([answering])
    if not started.done():
        await answering
    await send(started.result())
    await send({"type": "http.response.body", "body": b""})


class _Bounded:
    """Receives a body of bounded size, from a client that sends it in time."""

    def __init__(self, receive: Receive, max_bytes: int) -> None:
        self._receive = receive
        self._left = max_bytes
        self._ended = False
        self._until = time.monotonic() + BODY_SECONDS

    async def __call__(self) -> Message:
        if self._ended:  # what comes now says that the client has gone, and may take as long as it likes
            return await self._receive()
        try:
            async with asyncio.timeout(max(0.0, self._until - time.monotonic())):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(408, f"the body did not come within {BODY_SECONDS:g} s") from None
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            self._ended = not message.get("more_body", False)
            if self._left < 0:
                raise HTTPException(413, "the body is too large")
        return message


def _from_here(headers: Headers, host: str) -> bool:
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None and site not in ("same-origin", "none"):
        return False
    return origin is None or origin.partition("://")[2] == host


def _guarded_send(send: Send) -> Send:
    """Add the headers of every answer."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return sending
