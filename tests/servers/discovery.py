"""What finding any server takes: is there a Docker engine, a free port, and is the server ready yet."""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache, wraps
from itertools import chain, cycle
from pathlib import Path


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


_PORTS = range(20_000, 32_000)
"""Below those that the kernel gives to connections, of which one could have taken the port by the time it is used."""


def _in_turn() -> Iterator[int]:
    """Yield ports without end, none of them twice before all have been, nor one of another worker's of this run.

    Services that are killed leave their port for a while, and want it back.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    ours = _PORTS[worker :: int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))]
    start = random.SystemRandom().randrange(len(ours))  # other runs on this machine
    return cycle(chain(ours[start:], ours[:start]))


_ports = _in_turn()


def free_port() -> int:
    """A TCP port of this machine that no process listens on, and that no other test is likely to choose."""
    while True:
        port = next(_ports)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def once_a_machine(install: Callable[[], None]) -> Callable[[], None]:
    """Let only one process of the machine at a time run what installs something unless it is there."""

    @wraps(install)
    def one_by_one() -> None:
        with (Path(tempfile.gettempdir()) / "metriq-gym-tests.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            install()

    return one_by_one


def wait_until(ready: Callable[[], bool], what: str, *, seconds: float = 600) -> None:
    """Ask again and again until `ready` says so."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise NoServer(f"{what} was not ready within {seconds:g} s.")
        time.sleep(0.05)
