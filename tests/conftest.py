"""Real servers as fixtures: one of each per test run, a fresh corner of it for every test."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator

import hypothesis
import pymongo
import pytest
import structlog

from tests.sandbox.fixture import tyxonq_sandbox as tyxonq_sandbox
from tests.servers.mongodb import shared_mongodb
from tests.servers.rabbitmq import Broker, shared_broker, virtual_host

# How long an example takes says more of what else the machine does than of the code.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def logging_as_delivered() -> None:
    """Undo what a command under test set up for its own logs, or no later test could capture any."""
    structlog.reset_defaults()
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="session")
def amqp_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """The RabbitMQ of this test run."""
    with shared_broker(tmp_path_factory.mktemp("rabbitmq")) as broker:
        yield broker


@pytest.fixture
def amqp_url(amqp_broker: Broker) -> Iterator[str]:
    """The AMQP URL of a virtual host of the test's own."""
    with virtual_host(amqp_broker) as url:
        yield url


@pytest.fixture(scope="session")
def mongo_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the MongoDB replica set of this test run."""
    with shared_mongodb(tmp_path_factory.mktemp("mongodb")) as url:
        yield url


@pytest.fixture
def mongo_database(mongo_url: str) -> Iterator[str]:
    """The name of a database of the test's own."""
    name = f"test_{secrets.token_hex(6)}"
    yield name
    with pymongo.MongoClient[dict[str, object]](mongo_url) as client:
        client.drop_database(name)
