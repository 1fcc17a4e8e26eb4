"""The health port answers a probe whatever else is connected to it."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
import uvloop

from metriq_gym.service import connections
from metriq_gym.service.connections import MOST_CONNECTIONS
from metriq_gym.service.health import serve_health
from tests.support.patience import PATIENCE
from tests.support.plain import plain_client


async def _silent(port: int, count: int) -> list[asyncio.StreamWriter]:
    """Open connections whose requests never end."""
    opened = []
    for number in range(count):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        opened.append(writer)
        if number % 2:
            writer.write(b"GET /livez HTTP/1.1\r\nX-Slow: ")
    return opened


async def _answers() -> None:
    async with AsyncExitStack() as stack, asyncio.timeout(PATIENCE):
        port = await stack.enter_async_context(serve_health("127.0.0.1", 0, {}, {}))
        client = await stack.enter_async_context(plain_client(timeout=PATIENCE))
        kept = await client.get(f"http://127.0.0.1:{port}/livez")
        assert kept.status_code == 200
        opened = await _silent(port, 5 * MOST_CONNECTIONS)
        for _ in range(20):
            assert (await plain_client(timeout=PATIENCE).get(f"http://127.0.0.1:{port}/livez")).status_code == 200
        assert (await client.get(f"http://127.0.0.1:{port}/livez")).status_code == 200
        for writer in opened:
            writer.close()


async def test_half_open_requests_keep_no_probe_from_its_answer() -> None:
    await _answers()


def test_half_open_requests_keep_no_probe_from_its_answer_with_the_services_own_loop() -> None:
    uvloop.run(_answers())


async def test_a_request_that_does_not_arrive_in_time_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEADERS_SECONDS", 0.2)
    async with asyncio.timeout(PATIENCE), serve_health("127.0.0.1", 0, {}, {}) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /livez HTTP/1.1\r\n")
        try:
            assert await reader.read() == b""
        except ConnectionResetError:
            pass
        finally:
            writer.close()


async def test_a_check_that_fails_says_no() -> None:
    async def broken() -> bool:
        raise RuntimeError("secret")

    async with serve_health("127.0.0.1", 0, {"it": broken}, {}) as port, plain_client() as client:
        page = await client.get(f"http://127.0.0.1:{port}/livez")
    assert page.status_code == 503
    assert page.json() == {"it": "cannot be told: RuntimeError"}
