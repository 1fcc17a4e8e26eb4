"""A container's health check against a health server."""

from __future__ import annotations

import asyncio
import os
import sys

from metriq_gym.service import healthcheck as healthcheck_module
from metriq_gym.service.health import serve_health
from tests.servers.discovery import free_port


async def healthcheck(port: int, *arguments: str) -> tuple[int | None, str]:
    """Run it as a container does; return its exit code and what it says."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", healthcheck_module.__file__, *arguments),
        env={**os.environ, "METRIQ_HTTP_HOST": "127.0.0.1", "METRIQ_HTTP_PORT": str(port)},
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    return process.returncode, said.decode()


async def yes() -> bool:
    return True


async def no() -> bool:
    return False


async def test_service_that_starts_is_live_and_not_ready() -> None:
    async with serve_health("127.0.0.1", 0, {}, {"started": no}) as port:
        assert await healthcheck(port) == (0, "")
        code, said = await healthcheck(port, "readyz")
    assert (code, said.strip()) == (1, '{"started": false}')


async def test_service_that_consumes_is_live_and_ready() -> None:
    async with serve_health("127.0.0.1", 0, {"consumes": yes}, {"started": yes}) as port:
        assert await healthcheck(port, "livez") == (0, "")
        assert await healthcheck(port, "readyz") == (0, "")


async def test_service_that_is_stuck_is_not_live() -> None:
    async with serve_health("127.0.0.1", 0, {"consumes": no}, {}) as port:
        assert (await healthcheck(port))[0] == 1


async def test_service_that_is_gone_is_not_live() -> None:
    port = free_port()
    code, said = await healthcheck(port)
    assert code == 1
    assert f"nothing answers at 127.0.0.1:{port}" in said


async def test_what_answers_but_not_by_http_is_not_live() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")  # closed with the question unread, the kernel would reset the connection
        writer.write(b"220 mail\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        code, said = await healthcheck(server.sockets[0].getsockname()[1])
    assert code == 1
    assert "no HTTP" in said


async def test_it_costs_an_interpreter_s_start_and_little_more() -> None:
    code = "import sys, runpy; runpy.run_path(sys.argv[1]); print(len(sys.modules))"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", "-c", code, healthcheck_module.__file__), stdout=asyncio.subprocess.PIPE
    )
    counted, _ = await process.communicate()
    assert int(counted) < 80
