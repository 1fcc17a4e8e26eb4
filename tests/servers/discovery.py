"""What finding any server takes: is there a Docker engine, a free port, and is the server ready yet."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from functools import cache


class NoServer(RuntimeError):
    """A server that the tests need cannot be had; the message says what to install."""


@cache
def docker_answers() -> bool:
    """Whether a Docker engine can be reached."""
    from testcontainers.core.docker_client import DockerClient

    try:
        return bool(DockerClient(timeout=5).client.ping())
    except Exception:  # the Docker client's own, which it does not export with types
        return False


def free_port() -> int:
    """A TCP port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(ready: Callable[[], bool], what: str, *, seconds: float = 60) -> None:
    """Ask again and again until `ready` says so."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise NoServer(f"{what} was not ready within {seconds:g} s.")
        time.sleep(0.05)
