"""Serves a sandbox over real HTTP, and lets it end connections as a broken network does."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from tests.sandbox.app import BASE_PATH, Sandbox
from tests.sandbox.delivery import DROP


class DroppingProtocol(H11Protocol):
    """HTTP/1.1 whose applications find the extension that ends their connection."""

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self.app = self._extended(self.app)

    def _extended(self, app: ASGIApp) -> ASGIApp:
        async def extended(scope: Scope, receive: Receive, send: Send) -> None:
            scope["extensions"] = {**scope.get("extensions", {}), DROP: self._drop}
            await app(scope, receive, send)

        return extended

    def _drop(self, reset: bool) -> None:
        if not reset:
            self.transport.close()
            return
        # Closing a socket that does not linger sends RST instead of FIN.
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


def configuration(sandbox: Sandbox, **settings: Any) -> uvicorn.Config:
    """How uvicorn serves the sandbox: no access log, since nothing may log a token or a circuit."""
    return uvicorn.Config(
        sandbox,
        http=DroppingProtocol,
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=1,
        backlog=2048,
        **settings,
    )


@contextmanager
def serving(sandbox: Sandbox) -> Iterator[str]:
    """Serve on a free port of 127.0.0.1 from a thread; gives the base URL as the vendor's page writes it."""
    # asyncio turns Nagle's algorithm off only on sockets that say they are TCP.
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(configuration(sandbox))
        thread = threading.Thread(
            target=lambda: asyncio.run(server.serve([listener])), name="tyxonq-sandbox", daemon=True
        )
        thread.start()
        try:
            _wait_until_started(server, thread)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}{BASE_PATH}/"
        finally:
            server.should_exit = True
            thread.join()
            sandbox.close()


def _wait_until_started(server: uvicorn.Server, thread: threading.Thread) -> None:
    while not server.started:
        if not thread.is_alive():
            raise RuntimeError("the sandbox did not start")
        time.sleep(0.002)
