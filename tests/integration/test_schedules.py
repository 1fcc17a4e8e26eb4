"""Schedules through the services: asked for on the queue, run, and found by the client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from metriq_gym.client.client import Client
from metriq_gym.errors import InvalidRequest, NotFound
from metriq_gym.jobs import JobState
from metriq_gym.jobs.schedules import TickState
from metriq_gym.messages import ScheduleRequested
from metriq_gym.testing import MemorySystem, memory_system
from tests.support.patience import PATIENCE

WIT = {"benchmark_name": "WIT", "num_qubits": 7, "shots": 100}
NEW_YEAR: dict[str, Any] = {"provider": "local", "device": "aer_simulator", "cron": "0 0 1 1 *"}


@pytest.fixture
async def system(tmp_path: Path) -> AsyncIterator[MemorySystem]:
    async with memory_system(tmp_path) as system:
        yield system


@pytest.fixture
def client(system: MemorySystem) -> Client:
    return Client(system.store, system.bus)


async def test_a_schedule_that_is_run_gives_a_job_with_a_result(client: Client) -> None:
    await client.add_schedule("nightly", config=WIT, daily_shots=100, **NEW_YEAR)
    schedule = await client.change_schedule("nightly", "run")
    assert schedule is not None
    (tick,) = (*schedule.open, *schedule.ticks)
    async with asyncio.timeout(PATIENCE):
        job = await client.wait(tick.id)
    assert job.state is JobState.EXPORTED
    assert job.tags == ["schedule:nightly"]
    after = await client.store.schedules.get("nightly")
    assert after is not None
    assert after.spent is not None
    assert (after.spent.shots, after.spent.circuits) == (100, 1)


async def test_a_budget_that_is_used_up_holds_what_is_asked_for(client: Client) -> None:
    await client.add_schedule("nightly", config=WIT, daily_shots=99, **NEW_YEAR)
    await client.change_schedule("nightly", "run")
    async with asyncio.timeout(PATIENCE):
        while True:
            schedule = await client.store.schedules.get("nightly")
            assert schedule is not None
            if schedule.open and schedule.open[0].state is TickState.HELD:
                break
            await asyncio.sleep(0.01)
    assert "needs 100 shots; 99 of 99 are left" in (schedule.open[0].reason or "")
    assert await client.store.catalogue.find() == []


async def test_a_schedule_is_paused_resumed_and_deleted(client: Client) -> None:
    await client.add_schedule("nightly", config=WIT, **NEW_YEAR)
    paused = await client.change_schedule("nightly", "pause")
    assert paused is not None
    assert paused.paused
    resumed = await client.change_schedule("nightly", "resume")
    assert resumed is not None
    assert not resumed.paused
    assert await client.change_schedule("nightly", "delete") is None
    with pytest.raises(NotFound, match="no schedule 'nightly'"):
        await client.change_schedule("nightly", "run")


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"cron": "0 3 * *"}, "$.cron"),
        ({"timezone": "Mars"}, "$.timezone"),
        ({"device": "none_such"}, "$.device"),
        ({"provider": "none_such"}, "$.provider"),
        ({"config": {"benchmark_name": "WIT", "num_qubits": 1}}, "$.config.num_qubits"),
        ({"suite": {"name": "s"}, "config": None}, "$.suite.benchmarks"),
    ],
)
async def test_what_is_wrong_with_a_schedule_is_told_by_its_place(
    client: Client, change: dict[str, Any], path: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await client.add_schedule("nightly", **{"config": WIT, **NEW_YEAR, **change})
    assert [each.path for each in caught.value.problems] == [path]
    assert await client.store.schedules.all() == []


async def test_a_request_on_the_queue_that_cannot_be_accepted_shows_as_a_rejected_job(system: MemorySystem) -> None:
    request = ScheduleRequested.model_validate(
        {"name": "n", "request_id": "asked", "config": WIT, **NEW_YEAR, "cron": "x"}
    )
    await system.bus.publish(request)
    async with asyncio.timeout(PATIENCE):
        job = await Client(system.store, system.bus).wait("asked")
    assert job.state is JobState.REJECTED
    assert job.failure is not None
    assert [each["path"] for each in job.failure.problems] == ["$.cron"]


async def test_another_schedule_of_the_same_name_is_refused_unless_it_is_to_replace_it(client: Client) -> None:
    await client.add_schedule("nightly", config=WIT, **NEW_YEAR)
    with pytest.raises(InvalidRequest, match="another schedule nightly"):
        await client.add_schedule("nightly", config=WIT, missed="skip", **NEW_YEAR)
    changed = await client.add_schedule("nightly", config=WIT, missed="skip", replace=True, **NEW_YEAR)
    assert changed.asked.missed == "skip"
