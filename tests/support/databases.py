"""Databases that one test after the other has: to make one, with its indexes, takes more than most tests do in it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pymongo

from metriq_gym.store import Store


class Databases:
    """Those of one server, for one process at a time."""

    def __init__(self, client: pymongo.MongoClient[dict[str, Any]], url: str) -> None:
        self.url = url
        self._client = client
        name = f"test_{secrets.token_hex(6)}"
        client[name].plain.insert_one({})
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            runner.run(_prepare(url, name))
        self._prepared = self._structure(name)
        self._plain = self._prepared["plain"]
        client[name].plain.delete_many({})
        self._free = [name]

    @contextmanager
    def lend(self) -> Iterator[str]:
        """Yield the name of one without documents; it may have the collections of the store, and all their indexes."""
        name = self._free.pop() if self._free else f"test_{secrets.token_hex(6)}"
        yield name
        found = self._structure(name)
        if not self._is_read(name) and all(
            structure == self._prepared.get(each, self._plain) for each, structure in found.items()
        ):
            for each in found:
                self._client[name][each].delete_many({})
            self._free.append(name)
        else:  # a test made something else of it, or has left somebody there
            self._client.drop_database(name)

    def drop(self) -> None:
        """Drop all of them."""
        for name in self._free:
            self._client.drop_database(name)

    def _is_read(self, name: str) -> bool:
        """Whether a cursor is open there: a process that was killed has left it to the server."""
        there = {"ns": {"$regex": rf"^{name}\."}, "cursor.cursorId": {"$exists": True}}
        found = self._client.admin.aggregate([{"$currentOp": {"idleCursors": True}}, {"$match": there}])
        return bool(list(found))

    def _structure(self, name: str) -> dict[str, Any]:
        """Each collection's options and indexes."""
        database = self._client[name]
        options = {each["name"]: each["options"] for each in database.list_collections()}
        return {each: (options[each], database[each].index_information()) for each in options}


async def _prepare(url: str, database: str) -> None:
    async with Store.at(url, database):
        pass
