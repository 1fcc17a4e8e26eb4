"""The running system as a fixture."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

import pymongo
import pytest
import pytest_asyncio

from metriq_gym.store import Store
from metriq_gym.testing import memory_store
from tests.servers.rabbitmq import Broker, virtual_host
from tests.support.system import System, system


@pytest_asyncio.fixture
async def store() -> AsyncIterator[Store]:
    """A store in memory, for tests of handlers: that it is as the real one is for `tests/contract` to see."""
    async with memory_store() as store:
        yield store


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(
    amqp_broker: Broker, mongo_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[System]:
    """One process of each service, for all tests of a module: each names its jobs for itself."""
    database = f"test_{secrets.token_hex(6)}"
    with virtual_host(amqp_broker) as amqp_url:
        async with system(amqp_url, mongo_url, database, tmp_path_factory.mktemp("system")) as started:
            yield started
    with pymongo.MongoClient[dict[str, object]](mongo_url) as client:
        client.drop_database(database)
