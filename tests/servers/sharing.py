"""One server for all workers of a test run: the first that asks starts it, and the last to end takes it along."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.guard import Guarded, use

Addresses = dict[str, str]

_started: list[Guarded] = []


@contextmanager
def shared(
    folder: Path, start: Callable[[Path], tuple[Guarded, Addresses]], answers: Callable[[Addresses], bool]
) -> Iterator[Addresses]:
    """Yield the addresses of a server with its files in `folder`, which `start` starts unless one `answers`."""
    folder.mkdir(parents=True, exist_ok=True)
    known = folder / "addresses.json"
    with (folder / "start.lock").open("ab") as starting:
        fcntl.flock(starting, fcntl.LOCK_EX)
        users = use(folder / LOCK)  # waits while one that lost its last user is being ended
        if not known.exists() or not answers(json.loads(known.read_text())):
            server, addresses = start(folder)
            server.leave()  # `users` stands for this process
            _started.append(server)
            known.write_text(json.dumps(addresses))
    with users:
        yield json.loads(known.read_text())


LOCK = "users.lock"
