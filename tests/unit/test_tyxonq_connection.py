"""The TyxonQ client on real sockets: what counts as sent when connections break."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from pydantic import SecretStr

from metriq_gym.errors import SubmissionAmbiguous
from metriq_gym.providers.tyxonq.client import TyxonQClient
from metriq_gym.providers.tyxonq.device_string import DeviceString
from metriq_gym.providers.tyxonq.errors import Unreachable
from metriq_gym.providers.tyxonq.models import TaskRequest
from tests.support.patience import PATIENCE
from tests.support.tyxonq import TOKEN

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
BELL = TaskRequest(device=DeviceString("homebrew_s2"), source="OPENQASM 2.0;", shots=1)
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n"


@asynccontextmanager
async def server(behaviour: Behaviour, concurrency: int = 8) -> AsyncIterator[TyxonQClient]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await behaviour(reader, writer)
        writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        url = f"http://127.0.0.1:{port}/"
        async with TyxonQClient(SecretStr(TOKEN), url, concurrency=concurrency) as client:
            yield client


async def closes_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take the connection, read nothing."""


async def closes_after_reading(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")


async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.transport.abort()


async def answers_in_part(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(HEAD + b'{"success": true, "id": "job_')
    await writer.drain()


async def answers_nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"SSH-2.0-OpenSSH_9.9\r\n")
    await writer.drain()


@pytest.mark.parametrize("behaviour", [closes_at_once, closes_after_reading, resets, answers_in_part, answers_nonsense])
async def test_submission_on_a_connection_that_breaks_is_ambiguous(behaviour: Behaviour) -> None:
    async with server(behaviour) as client:
        with pytest.raises(SubmissionAmbiguous):
            await client.submit(BELL)


async def test_submission_to_a_closed_port_is_certainly_not_accepted() -> None:
    async with server(closes_at_once) as gone:
        url = str(gone.base_url)
    async with TyxonQClient(SecretStr(TOKEN), url) as client:
        with pytest.raises(Unreachable, match="ConnectError"):
            await client.submit(BELL)


async def test_submission_that_is_cancelled_stays_cancelled() -> None:
    sent = asyncio.Event()

    async def never_answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        sent.set()
        await reader.read()

    async with server(never_answers) as client:
        submitting = asyncio.create_task(client.submit(BELL))
        await sent.wait()
        submitting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await submitting


async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while not reader.at_eof():
        try:
            await reader.readuntil(b"{}")
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        body = b'{"devices": []}'
        writer.write(HEAD.replace(b"100", str(len(body)).encode()) + body)
        await writer.drain()


async def test_connections_are_used_again() -> None:
    connections = 0

    async def counts(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await answers(reader, writer)

    async with server(counts) as client:
        for _ in range(3):
            await client.devices()
    assert connections == 1


async def test_a_request_that_is_cancelled_at_any_moment_costs_no_later_one_its_connection() -> None:
    async with server(answers, concurrency=1) as client:
        for turns in range(100):
            asking = asyncio.create_task(client.devices())
            for _ in range(turns):
                await asyncio.sleep(0)
            asking.cancel()
            await asyncio.wait({asking})
            async with asyncio.timeout(PATIENCE):
                assert await client.devices() == ()
        assert not asking.cancelled()  # it had its answer before


async def test_when_a_client_is_closed_so_is_what_its_requests_have() -> None:
    sent, gone = asyncio.Event(), asyncio.Event()

    async def never_answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"{}")
        sent.set()
        await reader.read()
        gone.set()

    async with server(never_answers) as client:
        asking = asyncio.create_task(client.devices())
        await sent.wait()
        await client.aclose()
        await gone.wait()
        with pytest.raises(RuntimeError, match="closed"):
            await asking
