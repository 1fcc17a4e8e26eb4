"""A URL or a token in a file may change while a service runs: what comes next uses the new one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from metriq_gym.settings import Settings
from metriq_gym.store import Store
from metriq_gym.store.rotating import LOOK_SECONDS, RotatingClient
from metriq_gym.testing import MemoryClient
from tests.support.jobs import ended_job


def test_a_secret_is_as_its_file_has_it_now(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("amqp://u:old@h/\n")
    monkeypatch.setenv("METRIQ_AMQP_URL_FILE", str(file))
    tell = Settings().latest("amqp_url")
    assert tell() == "amqp://u:old@h/"
    file.write_text("amqp://u:new@h/\n")
    assert tell() == "amqp://u:new@h/"
    for lost in (b"", b"\xff"):
        file.write_bytes(lost)
        assert tell() == "amqp://u:old@h/"
    file.unlink()
    assert tell() == "amqp://u:old@h/"


def test_a_secret_from_a_variable_stays_what_it_was() -> None:
    assert Settings(github_token=SecretStr("t")).latest("github_token")() == "t"


class Servers:
    """Two servers of the same data, of which one has another password."""

    def __init__(self) -> None:
        self.clock, self.url = 0.0, "old"
        self.clients: dict[str, Any] = {}

    def connect(self, url: str) -> Any:
        self.clients[url] = MemoryClient()
        return self.clients[url]

    def client(self) -> RotatingClient:
        return RotatingClient(lambda: self.url, self.connect, lambda: self.clock)


async def test_the_store_is_reached_by_the_new_url_as_soon_as_it_is_there() -> None:
    servers = Servers()
    async with Store(servers.client(), "metriq") as store:
        await store.records.add(ended_job("before"))
        servers.url = "new"
        assert (await store.jobs.get("before")).id == "before"  # looked at less than a second ago
        servers.clock = LOOK_SECONDS
        assert await store.catalogue.find() == []
        await store.records.add(ended_job("after"))
        assert [job.id for job in await store.catalogue.find()] == ["after"]
    assert set(servers.clients) == {"old", "new"}


async def test_what_was_begun_with_the_client_before_may_end_with_it() -> None:
    closed, both = list[str](), asyncio.Event()

    class Client(MemoryClient):
        def __init__(self, url: str) -> None:
            super().__init__()
            self.url = url

        def close(self) -> None:
            closed.append(self.url)
            if len(closed) == 2:
                both.set()

    servers = Servers()
    client = RotatingClient(lambda: servers.url, Client, lambda: servers.clock)
    servers.url, servers.clock = "new", LOOK_SECONDS
    client.present()
    await asyncio.sleep(0)
    assert closed == []
    client.close()
    await both.wait()
    assert sorted(closed) == ["new", "old"]
