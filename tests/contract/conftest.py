"""The stores that keep the contract: MongoDB by motor and by PyMongo's own asynchronous client, and one in memory.

The second is refused whatever is no part of MongoDB's Stable API: packages carry the oldest version that is
supported, and what is asked of it so is the same on the newest.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from metriq_gym.store import Store
from metriq_gym.store.mongo import OPTIONS, connect
from metriq_gym.testing.memory import Documents, MemoryClient

DATABASE = "metriq"


@pytest.fixture(params=["motor", "pymongo", "memory"])
def client(request: pytest.FixtureRequest) -> Any:
    if request.param == "memory":
        return MemoryClient()
    url = request.getfixturevalue("mongo_url")
    if request.param == "motor":
        return connect(url)
    from pymongo import AsyncMongoClient
    from pymongo.server_api import ServerApi

    # Nothing but MongoDB's Stable API, which every version since 5.0 answers alike.
    return AsyncMongoClient(url, server_api=ServerApi("1", strict=True, deprecation_errors=True), **OPTIONS)


@pytest.fixture
def database_name(request: pytest.FixtureRequest, client: Any) -> str:
    """Of the test's own database."""
    return DATABASE if isinstance(client, MemoryClient) else str(request.getfixturevalue("mongo_database"))


@pytest.fixture
async def store(client: Any, database_name: str) -> AsyncIterator[Store]:
    async with Store(client, database_name) as store:
        yield store


@pytest.fixture
def database(request: pytest.FixtureRequest, client: Any, database_name: str) -> Any:
    """The same database without the store, as PyMongo's synchronous client sees it."""
    if isinstance(client, MemoryClient):
        return _Direct(client)
    return request.getfixturevalue("mongo_client")[database_name]


@pytest.fixture
async def server_store(mongo_url: str, mongo_database: str) -> AsyncIterator[Store]:
    """A store on a real server, for what only a server does."""
    async with Store.at(mongo_url, mongo_database) as store:
        yield store


class _Direct:
    def __init__(self, client: MemoryClient) -> None:
        self._database = client[DATABASE]

    def __getattr__(self, name: str) -> _Collection:
        return _Collection(self._database.documents(name))

    __getitem__ = __getattr__


class _Collection:
    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    def find(self) -> list[dict[str, Any]]:
        return self._documents.find({})

    def find_one(self) -> dict[str, Any] | None:
        return next(iter(self.find()), None)

    def insert_one(self, document: Mapping[str, Any]) -> None:
        self._documents.insert(document)

    def update_one(self, query: Mapping[str, Any], change: Any) -> None:
        self._documents.update(query, change, many=False)

    def update_many(self, query: Mapping[str, Any], change: Any) -> None:
        self._documents.update(query, change, many=True)
