"""Both servers behind TLS with certificates of a private authority, which clients name in the servers' URLs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import aio_pika
import pytest
import trustme
from aio_pika.exceptions import CONNECTION_EXCEPTIONS

from metriq_gym.errors import Transient
from metriq_gym.jobs import JobState
from metriq_gym.operations.access.mongodb import make_administrator
from metriq_gym.store import Store
from tests.servers.discovery import free_port
from tests.servers.mongodb import LockedMongod
from tests.servers.rabbitmq import NativeBroker
from tests.support.patience import PATIENCE
from tests.support.system import request, system


@dataclass(frozen=True)
class Secured:
    """The servers' URLs, but for which authority to trust."""

    amqp: str
    mongo: str
    authority: Path
    another: Path

    def amqp_url(self, authority: Path) -> str:
        return f"{self.amqp}?cafile={authority}"

    def mongo_url(self, authority: Path) -> str:
        return f"{self.mongo}&tls=true&tlsCAFile={authority}"


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("tls")
    authority, another, both = folder / "ca.pem", folder / "another.pem", folder / "server.pem"
    certificates = trustme.CA()
    certificates.cert_pem.write_to_path(str(authority))
    trustme.CA().cert_pem.write_to_path(str(another))
    certificates.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(both))
    port = free_port()
    listener = f"listeners.ssl.1 = 127.0.0.1:{port}\nssl_options.cacertfile = {authority}\n"
    files = f"ssl_options.certfile = {both}\nssl_options.keyfile = {both}\nssl_options.verify = verify_none\n"
    broker = NativeBroker(folder / "rabbitmq", f"{listener}{files}")
    tls = ("--tlsMode", "requireTLS", "--tlsCertificateKeyFile", str(both), "--tlsCAFile", str(authority))
    server = LockedMongod(tmp_path_factory.mktemp("mongodb"), *tls, "--tlsAllowConnectionsWithoutCertificates")
    try:
        options = f"tls=true&tlsCAFile={authority}"
        make_administrator(server.address, "admin", "secret", server.address, options)
        mongo = f"mongodb://admin:secret@{server.address}/?directConnection=true"
        yield Secured(f"amqps://guest:guest@127.0.0.1:{port}/", mongo, authority, another)
    finally:
        server.kill()
        broker.remove()


async def test_pipeline_works_over_tls(secured: Secured, tmp_path: Path) -> None:
    amqp, mongo = secured.amqp_url(secured.authority), secured.mongo_url(secured.authority)
    async with system(amqp, mongo, "metriq", tmp_path) as running:
        await running.publish(request("over-tls"))
        assert (await running.ended("over-tls")).state is JobState.EXPORTED


async def answers(url: str) -> bool:
    try:
        async with Store.at(url) as store:
            return await store.answers()
    except Transient:
        return False


async def test_servers_that_another_authority_vouches_for_are_not_trusted(secured: Secured) -> None:
    with pytest.raises((*CONNECTION_EXCEPTIONS, asyncio.TimeoutError), match="CERTIFICATE_VERIFY_FAILED"):
        await aio_pika.connect(secured.amqp_url(secured.another), timeout=PATIENCE)
    assert not await answers(secured.mongo_url(secured.another))


async def test_store_that_wants_tls_takes_nothing_else(secured: Secured) -> None:
    assert await answers(secured.mongo_url(secured.authority))
    assert not await answers(secured.mongo)


async def test_store_takes_a_url_as_an_operator_of_mongodb_writes_it(secured: Secured) -> None:
    """The Secrets that deploy/kubernetes hands to the services when an operator runs MongoDB."""
    server = secured.mongo.rpartition("/")[0]
    written = f"{server}/admin?replicaSet=rs0&ssl=true"
    assert await answers(f"{written}&tlsCAFile={secured.authority}")
    assert not await answers(f"{written}&tlsCAFile={secured.another}")
