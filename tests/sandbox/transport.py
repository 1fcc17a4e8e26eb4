"""Reaches a sandbox inside the process through httpx, with dropped connections as a network would show them."""

from __future__ import annotations

import httpx

from tests.sandbox.app import Sandbox
from tests.sandbox.delivery import ConnectionDropped


class SandboxTransport(httpx.AsyncBaseTransport):
    """For httpx.AsyncClient: no sockets, and httpx's own errors where the sandbox drops a connection."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._transport = httpx.ASGITransport(sandbox)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            return await self._transport.handle_async_request(request)
        except ConnectionDropped as dropped:
            error = httpx.ReadError if dropped.reset else httpx.RemoteProtocolError
            raise error(str(dropped), request=request) from dropped
