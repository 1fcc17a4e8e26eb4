"""Sends answers, or what a fault makes of them: garbled, late, or never."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from tests.sandbox.faults import Fault

DROP = "sandbox.drop"
"""ASGI extension of the server: a function that ends the connection, with a reset if its argument is true."""

REDIRECTED = "/_sandbox/redirected"

REPLACING = frozenset({"rate_limited", "server_error", "html", "redirect", "reset", "lost_response"})
GARBLING = frozenset({"truncated_json", "slow_body"})

_SLOW_CHUNKS = 20


class ConnectionDropped(Exception):
    """The sandbox ended the connection without an answer (only where no server offers to do it for real)."""

    def __init__(self, *, reset: bool) -> None:
        self.reset = reset
        super().__init__("connection reset" if reset else "connection closed without an answer")


async def deliver(answer: Response, fault: Fault | None, scope: Scope, receive: Receive, send: Send) -> None:
    """Send `answer`, or what `fault` puts in its place."""
    if fault is not None and fault.kind in ("reset", "lost_response"):
        await _drop(scope, receive, reset=fault.kind == "reset")
        return
    await _response(answer, fault)(scope, receive, send)


def _response(answer: Response, fault: Fault | None) -> Response:
    match fault.kind if fault else None:
        case "rate_limited":
            assert fault is not None
            headers = {} if fault.retry_after is None else {"Retry-After": fault.retry_after}
            return Response(
                b'{"success":false,"detail":"too many requests"}',
                fault.status or 429,
                headers,
                media_type="application/json",
            )
        case "server_error":
            assert fault is not None
            return PlainTextResponse("upstream error", fault.status or 503)
        case "html":
            assert fault is not None
            return HTMLResponse("<html><body><h1>Bad gateway</h1></body></html>", fault.status or 502)
        case "redirect":
            return RedirectResponse(REDIRECTED, 307)
        case "truncated_json":
            body = bytes(answer.body)
            return Response(body[: len(body) // 2], answer.status_code, media_type="application/json")
        case "slow_body":
            assert fault is not None
            body = bytes(answer.body)
            return StreamingResponse(
                _slowly(body, fault.seconds),
                answer.status_code,
                {"Content-Length": str(len(body))},
                media_type="application/json",
            )
    return answer


async def _slowly(body: bytes, seconds: float) -> AsyncIterator[bytes]:
    size = max(1, -(-len(body) // _SLOW_CHUNKS))
    chunks = [body[start : start + size] for start in range(0, len(body), size)]
    for chunk in chunks:
        await asyncio.sleep(seconds / len(chunks))
        yield chunk


async def _drop(scope: Scope, receive: Receive, *, reset: bool) -> None:
    drop: Callable[[bool], None] | None = scope.get("extensions", {}).get(DROP)
    if drop is None:
        raise ConnectionDropped(reset=reset)
    drop(reset)
    # The server takes an application that returns earlier for one that forgot to answer.
    wait: Callable[[], Awaitable[object]] = receive
    while (await wait()) != {"type": "http.disconnect"}:
        pass
