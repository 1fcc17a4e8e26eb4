"""A storm of SIGKILL and SIGTERM over many processes of each service, while jobs come in and are worked off."""

from __future__ import annotations

import asyncio
import signal
from collections import deque
from pathlib import Path

from tests.faults.report import LONG, Report
from tests.faults.scenario import Scenario, scenario
from tests.ibm.server import serving
from tests.support.system import ServiceProcess

JOBS = 2000 if LONG else 60
COUNTS = {"dispatcher": 2, "poller": 4, "scorer": 2, "exporter": 2} if LONG else {"dispatcher": 2, "poller": 2}
BETWEEN = (1.0, 5.0)
"""Seconds from one stroke to the next."""
STROKES = 8
"""How many there are to be at least."""
PAUSE = 0.0 if LONG else 0.1
"""Seconds between two requests."""


async def test_a_storm_of_kills_loses_and_repeats_nothing(
    amqp_url: str, mongo_url: str, tmp_path: Path, report: Report
) -> None:
    with serving() as ibm:
        ibm.script = {"POST /jobs": deque(["", "lost_answer", "busy", "error_after"] * 3)}
        ibm.retry_after = "1"
        async with scenario(
            "storm of SIGKILL and SIGTERM", report, amqp_url, mongo_url, tmp_path, counts=COUNTS, ibm=ibm
        ) as running:
            await _storm(running)
        assert ibm.jobs


async def _storm(running: Scenario) -> None:
    running.sandbox.set(echo_remarks="parameters")
    enough = asyncio.Event()
    storm = asyncio.create_task(_strike(running, enough))
    await running.request_many(JOBS, pause=PAUSE)
    while running.witness.ended() < 0.9 * JOBS or len(running.faults) < STROKES:
        assert not storm.done()
        await asyncio.sleep(1)
    enough.set()
    await storm
    await running.finish()


async def _strike(running: Scenario, enough: asyncio.Event) -> None:
    """End one process after the other, also those that are about to end; each that has is replaced by another."""
    leaving = set[int]()

    async def replace(service: ServiceProcess) -> None:
        assert service.process is not None
        await asyncio.to_thread(service.process.wait)
        service.start()
        leaving.remove(service.port)

    async with asyncio.TaskGroup() as replacing:
        while not enough.is_set():
            await asyncio.sleep(running.random.uniform(*BETWEEN))
            service = running.random.choice(running.system.services)
            assert service.process is not None
            if running.random.random() < 0.5:
                service.kill()
            else:
                service.process.send_signal(signal.SIGTERM)
            running.fault()
            if service.port not in leaving:
                leaving.add(service.port)
                replacing.create_task(replace(service))
