"""A storm of SIGKILL and SIGTERM over many processes of each service, while jobs come in and are worked off."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from tests.faults.report import LONG, Report
from tests.faults.scenario import Scenario, scenario

JOBS = 2000 if LONG else 60
COUNTS = {"dispatcher": 2, "poller": 4, "scorer": 2, "exporter": 2} if LONG else {"dispatcher": 2, "poller": 2}
BETWEEN = (1.0, 5.0) if LONG else (0.5, 2.0)
"""Seconds from one stroke to the next."""
STROKES = 8
"""How many there are to be at least."""
PAUSE = 0.0 if LONG else 0.1
"""Seconds between two requests."""


async def test_a_storm_of_kills_loses_and_repeats_nothing(
    amqp_url: str, mongo_url: str, tmp_path: Path, report: Report
) -> None:
    async with scenario("storm", report, amqp_url, mongo_url, tmp_path, counts=COUNTS) as running:
        running.sandbox.set(echo_remarks="parameters")
        storm = asyncio.create_task(_strike(running))
        await running.request_many(JOBS, pause=PAUSE)
        while running.witness.ended() < 0.9 * JOBS or len(running.faults) < STROKES:
            assert not storm.done()
            await asyncio.sleep(1)
        storm.cancel()
        await asyncio.wait({storm})
        await running.finish()


async def _strike(running: Scenario) -> None:
    """End one process after the other, each at once replaced by another."""
    while True:
        await asyncio.sleep(running.random.uniform(*BETWEEN))
        service = running.random.choice(running.system.services)
        if running.random.random() < 0.5:
            service.kill()
        else:
            assert service.process is not None
            service.process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(service.process.wait, 60)
        running.fault()
        service.start()
