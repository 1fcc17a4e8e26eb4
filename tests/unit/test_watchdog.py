"""A blocked event loop is noticed from outside, with what blocks it; probes fail while it lasts and a little longer."""

from __future__ import annotations

import asyncio
import threading
import time
from http.client import HTTPConnection

import pytest
import structlog

from metriq_gym.service.health import serve_health
from metriq_gym.service.watchdog import watched
from tests.support.patience import PATIENCE, until

LIMIT = 0.8


def block(until: threading.Event) -> None:
    until.wait(PATIENCE)


@pytest.mark.slow
async def test_a_loop_that_turns_is_alive_however_busy() -> None:
    async with watched(LIMIT) as watchdog:
        for _ in range(20):
            time.sleep(LIMIT / 10)  # noqa: ASYNC251  (that is what is tested)
            await asyncio.sleep(0)
            assert await watchdog.alive()


@pytest.mark.slow
def test_probes_of_a_blocked_loop_time_out_then_fail_and_then_hold_again_and_the_log_names_what_blocked_it() -> None:
    started, go_on, done = threading.Event(), threading.Event(), threading.Event()
    port = 0
    loop: asyncio.AbstractEventLoop

    async def serve() -> None:
        nonlocal port, loop
        async with watched(LIMIT) as watchdog, serve_health("127.0.0.1", 0, {"turns": watchdog.alive}, {}) as port:
            loop = asyncio.get_running_loop()
            started.set()
            await asyncio.to_thread(done.wait)

    def ask() -> int | None:
        connection = HTTPConnection("127.0.0.1", port, timeout=2 * LIMIT)
        try:
            connection.request("GET", "/livez")
            with connection.getresponse() as answer:
                return answer.status
        except TimeoutError:
            return None
        finally:
            connection.close()

    def asked_until(status: int) -> None:
        until(lambda: ask() == status)

    with structlog.testing.capture_logs() as entries:
        serving = threading.Thread(target=asyncio.run, args=(serve(),))
        serving.start()
        try:
            assert started.wait(PATIENCE)
            asked_until(200)
            loop.call_soon_threadsafe(block, go_on)
            assert ask() is None
            until(lambda: any(each["event"] == "event loop is blocked" for each in entries))
            go_on.set()
            asked_until(503)
            asked_until(200)
        finally:
            go_on.set()
            done.set()
            serving.join()
    blocked, again = [each for each in entries if each["event"].startswith("event loop")]
    assert "in block" in blocked["stack"]
    assert again["event"] == "event loop turns again"
