"""The clock of the database, by which everything is timed, is set back and forward while jobs are worked on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pymongo
import pytest

from metriq_gym.jobs import JobState
from tests.faults.report import LONG, Report
from tests.faults.scenario import scenario
from tests.servers.discovery import wait_until
from tests.servers.faketime import SettableClock
from tests.servers.mongodb import NativeMongod
from tests.support.patience import PATIENCE

JOBS = 40 if LONG else 4
HOUR, DAYS = 3600, 8 * 86400
"""Back by longer than anything is put off; forward by longer than a job has until its deadline."""
SETTINGS = [-HOUR, DAYS, 0] if LONG else [-HOUR, DAYS]
NEAR = timedelta(seconds=HOUR / 4)


@pytest.fixture
def clock(tmp_path: Path) -> SettableClock:
    return SettableClock(tmp_path / "clock")


@pytest.fixture
def store(tmp_path: Path, clock: SettableClock) -> Iterator[str]:
    """The URL of a database with that clock."""
    server = NativeMongod(tmp_path / "store", clock.environment())
    yield server.url
    server.kill()


async def test_a_store_whose_clock_is_set_back_and_forward_holds_up_no_job_and_fails_none(
    clock: SettableClock, store: str, amqp_url: str, tmp_path: Path, report: Report
) -> None:
    async with scenario("the store's clock set back 1 h, forward 8 days", report, amqp_url, store, tmp_path) as running:
        running.uncounted = lambda: len(SETTINGS)
        for number, seconds in enumerate(SETTINGS):
            await running.request_many(JOBS, prefix=f"before-{number}", remote_every=2)
            await running.all_taken_up()
            clock.set(seconds)
            await asyncio.to_thread(_await_setting, store, seconds)
            await running.request_many(JOBS, prefix=f"at-{number}", remote_every=2)
            await running.all_ended()
            states = await asyncio.to_thread(running.witness.states)
            assert {states[job_id] for job_id in running.accepted} == {JobState.EXPORTED}
        await running.finish()


def _await_setting(url: str, seconds: int) -> None:
    """Return once the database's clock is set."""
    with pymongo.MongoClient[dict[str, Any]](url) as client:
        wait_until(lambda: abs(_ahead(client) - timedelta(seconds=seconds)) < NEAR, "the clock", seconds=PATIENCE)


def _ahead(client: pymongo.MongoClient[dict[str, Any]]) -> timedelta:
    shown: datetime = client.admin.command("hello")["localTime"]
    return shown.replace(tzinfo=UTC) - datetime.now(UTC)
