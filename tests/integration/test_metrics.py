"""What the running services tell Prometheus of the work they did, and that no request can add to how much that is."""

from __future__ import annotations

import asyncio

import pytest

from metriq_gym.jobs import JobState
from tests.support.patience import PATIENCE
from tests.support.system import WIT, Sample, System, request, sample

pytestmark = pytest.mark.asyncio(loop_scope="module")
ENDS = ("handled", "postponed", "returned", "given_up")


async def scraped(running: System) -> dict[str, dict[Sample, float]]:
    return {service.name: await service.metrics() for service in running.services}


async def counted(running: System, state: JobState, jobs: int) -> dict[str, dict[Sample, float]]:
    """What is told once the dispatcher counts so many jobs in a state; it does not count all the time."""
    async with asyncio.timeout(PATIENCE):
        while True:
            told = await scraped(running)
            if told["dispatcher"].get(sample("metriq_jobs", state=state)) == jobs:
                return told
            await asyncio.sleep(0.2)


async def test_a_jobs_way_through_the_services_is_counted_by_each(running: System) -> None:
    await running.publish(request("one"))
    await running.ended("one")
    await counted(running, JobState.EXPORTED, 1)
    # A job has moved before its delivery is done with and counted.
    told = await scraped(running)
    async with asyncio.timeout(PATIENCE):
        while any(
            sample("metriq_deliveries_total", queue=f"metriq.{name}", outcome="handled") not in told[name]
            for name in ("dispatcher", "poller", "scorer", "exporter")
        ):
            await asyncio.sleep(0.2)
            told = await scraped(running)

    stages = {
        "dispatcher": ("dispatching", "dispatched"),
        "poller": ("dispatched", "completed"),
        "scorer": ("completed", "scored"),
        "exporter": ("scored", "exported"),
    }
    for service, (stage, following) in stages.items():
        queue = f"metriq.{service}"
        # On a slow machine the reconciler may have published a message once more.
        handled = told[service][sample("metriq_deliveries_total", queue=queue, outcome="handled")]
        moved = told[service][sample("metriq_job_stage_seconds_count", stage=stage, next=following)]
        assert 1 <= moved <= handled <= told[service][sample("metriq_delivery_seconds_count", queue=queue)]
        assert told[service][sample("metriq_event_loop_lag_seconds_count")] >= 1
    simulated = sample("metriq_provider_calls_total", provider="local", operation="simulate", outcome="answered")
    assert told["poller"][simulated] == 1
    assert 1 <= told["exporter"][sample("metriq_exports_total", target="json", result="done")] <= handled
    for gauge in (sample("metriq_due_tasks", provider="local"), sample("metriq_queue_messages", queue="metriq.dead")):
        assert told["dispatcher"][gauge] == 0


async def test_however_many_jobs_and_whatever_they_say_the_series_stay_the_same(running: System) -> None:
    async def load(round_: int) -> None:
        """Everything that a request can choose, different each time."""
        names = [f"{round_}-{number}" for number in range(5)]
        for name in names:
            await running.publish(request(f"good-{name}", remarks=name, group=name, config=WIT))
            await running.publish(request(f"device-{name}", device=f"d{name}"))
            await running.publish(request(f"provider-{name}", provider=f"p{name}"))
            await running.publish(request(f"benchmark-{name}", config={"benchmark_name": name}))
            await running.publish(name.encode(), message_id=f"junk-{name}")
        await running.all_ended(
            [f"{kind}-{name}" for name in names for kind in ("good", "device", "provider", "benchmark", "junk")]
        )

    await load(0)
    before = await counted(running, JobState.REJECTED, 20)
    await load(1)
    after = await counted(running, JobState.REJECTED, 40)
    assert series(after) == series(before)
    assert sum(map(len, after.values())) < 1000


def series(told: dict[str, dict[Sample, float]]) -> dict[str, set[Sample]]:
    """Who tells what, but for how deliveries ended: on a slow machine one may be postponed for the first time."""
    ends = {sample("metriq_deliveries_total", queue=f"metriq.{name}", outcome=end) for name in told for end in ENDS}
    return {name: set(samples) - ends for name, samples in told.items()}
