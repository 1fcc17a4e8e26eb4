"""A receiver of webhooks on this machine, which answers as told and keeps what it accepted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import psutil

from metriq_gym.settings import Settings

SECRET = "a secret of tests, long enough"


@dataclass
class Receiver:
    """What it does, and what it got."""

    port: int = 0
    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    asked: int = 0
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    """Headers and body of what was accepted."""

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events that were accepted."""
        return [json.loads(body) for _, body in self.got]

    @property
    def ids(self) -> list[str]:
        """Their ids."""
        return [event["id"] for event in self.events]

    def connections(self) -> int:
        """How many connections of this process lead here."""
        ends = [each.raddr for each in psutil.Process().net_connections("tcp") if each.raddr]
        return sum(end.port == self.port for end in ends)

    def settings(self, **changes: Any) -> Settings:
        """Settings of an exporter that posts here."""
        return Settings(**self.addressed() | changes)

    def addressed(self) -> dict[str, Any]:
        """The settings that make an exporter post here."""
        address = f"http://127.0.0.1:{self.port}"
        return {
            "webhook_url": f"{address}/hook?of=metriq",
            "webhook_hosts": address,
            "webhook_secret": SECRET,
            "notify_private_networks": "127.0.0.0/8",
            "notify_per_minute": 6000,
        }


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Run a receiver while inside."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.asked += 1
            if receiver.status < 300:
                receiver.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(receiver.status)
            for name, value in receiver.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.port = server.server_address[1]
        serving = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        serving.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            serving.join()
