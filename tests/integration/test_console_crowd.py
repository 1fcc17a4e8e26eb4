"""The console with clients that dawdle, and with very many that look."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from pymongo import AsyncMongoClient

from metriq_gym.store import Store
from services.console import connection
from tests.support.console import ServedConsole, served_console
from tests.support.console_process import console_process, script
from tests.support.jobs import ended_job
from tests.support.patience import PATIENCE

VIEWERS = 500
MEMORY = 200 * 2**20


@pytest.fixture
async def console(mongo_url: str, mongo_database: str, tmp_path: Path) -> AsyncIterator[ServedConsole]:
    async with served_console(mongo_url, mongo_database, tmp_path, services=False) as served:
        yield served


async def cut_off(reader: asyncio.StreamReader) -> None:
    """Return once the console has ended a connection."""
    async with asyncio.timeout(PATIENCE):
        try:
            while await reader.read(1024):
                pass
        except ConnectionError:
            pass


@pytest.mark.parametrize("said", [b"", b"GET /api/v1/jobs HTTP/1.1\r\nHost: loc"])
async def test_a_client_that_never_ends_its_requests_head_is_cut_off(
    console: ServedConsole, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr(connection, "SECONDS", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", console.console.port)
    writer.write(said)
    await cut_off(reader)
    writer.close()


async def test_a_client_that_does_not_read_its_answer_is_cut_off(
    console: ServedConsole, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits for it is more than the sockets of both ends hold."""
    lost = asyncio.Event()
    real = connection.Connection.connection_lost

    def seen(self: connection.Connection, exc: Exception | None) -> None:
        real(self, exc)
        lost.set()

    monkeypatch.setattr(connection, "SECONDS", 0.2)
    monkeypatch.setattr(connection.Connection, "connection_lost", seen)
    _, writer = await asyncio.open_connection("127.0.0.1", console.console.port, limit=1)
    ask = b"GET /static/x/plotly.js HTTP/1.1\r\nHost: localhost\r\n\r\n"
    writer.write(ask * 8)
    async with asyncio.timeout(PATIENCE):
        await lost.wait()
    writer.close()


async def test_a_client_that_reads_gets_all_of_a_long_answer(console: ServedConsole) -> None:
    answer = await console.http.get(f"{console.url}/static/x/plotly.js")
    assert len(answer.content) > 1_000_000


LISTENER = """
import asyncio, sys
async def main(port, count):
    async def view():
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /api/v1/events HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
        while b"retry:" not in await reader.readline():
            pass
        print("open", flush=True)
        while b"data:" not in await reader.readline():
            pass
        print("told", flush=True)
        await reader.read()
    await asyncio.gather(*(view() for _ in range(count)))
asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
"""


async def said(process: Process, word: bytes, times: int = 1) -> None:
    """Return once a process has said something so many times."""
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE):
        while times:
            line = await process.stdout.readline()
            assert line, "it ended"
            times -= line.strip() == word


async def open_cursors(url: str, database: str) -> set[int]:
    """The cursors of one database, at work or at rest."""
    async with AsyncMongoClient[dict[str, Any]](url) as client:
        found = await client.admin.aggregate([{"$currentOp": {"idleCursors": True}}])
        return {each["cursor"]["cursorId"] async for each in found if _reads(each, database)}


def _reads(operation: dict[str, Any], database: str) -> bool:
    return str(operation.get("ns", "")).startswith(f"{database}.") and "cursorId" in operation.get("cursor", {})


async def test_hundreds_of_viewers_cost_one_cursor_and_little_memory(
    mongo_url: str, mongo_database: str, tmp_path: Path
) -> None:
    """The console is a process of its own, as in its container, and those who look are another."""
    async with (
        console_process(mongo_url, mongo_database, tmp_path) as (port, console),
        script(LISTENER, port, VIEWERS) as looking,
        Store.at(mongo_url, mongo_database) as store,
    ):
        await said(looking, b"open", VIEWERS)
        await store.jobs._jobs.insert_one(ended_job("told").model_dump(by_alias=True, exclude_defaults=True))
        await said(looking, b"told", VIEWERS)
        async with asyncio.timeout(PATIENCE):
            while len(await open_cursors(mongo_url, mongo_database)) != 1:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        used = psutil.Process(console.pid).memory_info().rss
        print(f"{VIEWERS} viewers: {used / 2**20:.0f} MiB")
        assert used < MEMORY
