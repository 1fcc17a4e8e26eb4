"""A client whose URL may change while it is used, as when a password is rotated: it is made anew, and nothing restarts.

What was begun with the one before ends with it. Only the calls that the store makes go through here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

LOOK_SECONDS = 1.0
"""How often it is asked for the URL, at most."""
RETIRING_SECONDS = 60.0
"""How long what was begun with the client before may take: longer than any call of the store."""


class RotatingClient:
    """A client for the present URL.

    Parameters
    ----------
    url:
        Returns the URL as it is now.
    connect:
        Makes a client; nothing is sent until its first call.
    now:
        A clock, in seconds.
    """

    def __init__(
        self, url: Callable[[], str], connect: Callable[[str], Any], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._url = url
        self._connect = connect
        self._now = now
        self._used = url()
        self._looked_at = now()
        self._client = connect(self._used)
        self._retiring = set[asyncio.Task[None]]()

    def __getitem__(self, name: str) -> RotatingDatabase:
        return RotatingDatabase(self, name)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.present(), name)

    def present(self) -> Any:
        """Return the client for the URL as it is now."""
        if (now := self._now()) - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            if (url := self._url()) != self._used:
                before, self._used, self._client = self._client, url, self._connect(url)
                retiring = asyncio.create_task(_retire(before))
                self._retiring.add(retiring)
                retiring.add_done_callback(self._retiring.discard)
        return self._client

    def close(self) -> None:
        """Close the client, and those before it."""
        for retiring in self._retiring:
            retiring.cancel()
        self._client.close()


async def _retire(client: Any) -> None:
    try:
        await asyncio.sleep(RETIRING_SECONDS)
    finally:
        client.close()


class RotatingDatabase:
    """A database, as the store uses one: a collection by each name, and change streams over all."""

    def __init__(self, client: RotatingClient, name: str) -> None:
        self._client = client
        self._name = name

    def __getattr__(self, name: str) -> RotatingCollection:
        return RotatingCollection(self, name)

    def watch(self, *arguments: Any, **options: Any) -> Any:
        """Open a change stream."""
        return self.present().watch(*arguments, **options)

    def present(self) -> Any:
        """Return the database of the present client."""
        return self._client.present()[self._name]


class RotatingCollection:
    """A collection of the present client."""

    def __init__(self, database: RotatingDatabase, name: str) -> None:
        self._database = database
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(getattr(self._database.present(), self._name), name)
