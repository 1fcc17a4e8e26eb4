"""The console behind a reverse proxy that knows people and says their groups, as one with OpenID Connect does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.support.console import REQUEST, ServedConsole, served_console
from tests.support.patience import PATIENCE
from tests.support.plain import plain_client
from tests.support.reverse_proxy import ADDRESS, PEOPLE, reverse_proxy

NAME = "metriq.example"
SPOOFED = {"X-Forwarded-Groups": "metriq-operator"}


@dataclass
class Proxied:
    """A console that trusts its proxy alone."""

    console: ServedConsole
    url: str

    def person(self, name: str, **headers: str) -> httpx.AsyncClient:
        """A client that has logged in at the proxy; the proxy is reached by a name of its own."""
        return plain_client(
            base_url=self.url, headers={"Host": NAME, "Cookie": f"user={name}"} | headers, timeout=PATIENCE
        )


@pytest.fixture
async def proxied(mongo_url: str, mongo_database: str, tmp_path: Path) -> AsyncIterator[Proxied]:
    settings = {"console_trusted_proxies": (ADDRESS,), "console_allowed_hosts": (NAME,)}
    async with (
        served_console(mongo_url, mongo_database, tmp_path, services=False, **settings) as console,
        reverse_proxy(console.url, json.dumps(PEOPLE)) as url,
    ):
        yield Proxied(console, url)


async def test_people_may_what_their_groups_say(proxied: Proxied) -> None:
    may = {}
    for name in PEOPLE:
        async with proxied.person(name) as client:
            look = await client.get("/api/v1/jobs")
            ask = await client.post("/api/v1/jobs", json=REQUEST)
            operate = await client.get("/api/v1/dead-letters")
            may[name] = (look.status_code, ask.status_code, operate.status_code)
    assert may == {"vera": (200, 403, 403), "sam": (200, 202, 403), "olga": (200, 202, 200), "eve": (401, 401, 401)}


async def test_groups_that_a_client_says_itself_are_overwritten(proxied: Proxied) -> None:
    async with proxied.person("vera", **SPOOFED) as client:
        assert (await client.get("/api/v1/dead-letters")).status_code == 403
    async with proxied.person("eve", **SPOOFED) as client:
        assert (await client.get("/api/v1/jobs")).status_code == 401


async def test_groups_are_believed_of_the_proxys_address_alone(proxied: Proxied) -> None:
    host = {"Host": NAME}
    assert (await proxied.console.http.get("/jobs", headers=host | SPOOFED)).status_code == 401
    claiming = {"X-Forwarded-For": ADDRESS, "X-Real-IP": ADDRESS, "Forwarded": f"for={ADDRESS}"}
    assert (await proxied.console.http.get("/jobs", headers=host | SPOOFED | claiming)).status_code == 401


async def test_a_person_uses_the_page_through_the_proxy(proxied: Proxied) -> None:
    form = {"benchmark": "WIT", "at": "local/aer_simulator", "job_id": "mine", "config.num_qubits": "6"}
    async with proxied.person("sam", Accept="text/html") as client:
        assert "submitter" in (await client.get("/")).text
        other = await client.post("/submit", data=form, headers={"Origin": "https://elsewhere.example"})
        assert other.status_code == 403
        answer = await client.post("/submit", data=form, headers={"Origin": f"https://{NAME}"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/jobs/mine")
    async with proxied.person("vera", Accept="text/html") as client:
        assert (await client.get("/submit")).status_code == 403


async def test_events_come_through_the_proxy_as_they_happen(proxied: Proxied) -> None:
    async with proxied.person("vera") as client, client.stream("GET", "/api/v1/events") as answer:
        pieces = answer.aiter_text()
        async with asyncio.timeout(PATIENCE):
            assert "retry" in await anext(pieces)
