"""Processes that stand still for longer than their leases, and clocks that are wrong, change nothing."""

from __future__ import annotations

import asyncio
import itertools
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pymongo
import pytest

from metriq_gym.jobs import TERMINAL
from tests.faults.doomed import Orders
from tests.faults.report import LONG, Report
from tests.faults.scenario import Scenario, scenario
from tests.support.patience import PATIENCE
from tests.support.system import SERVICES, ServiceProcess

WRONG_BY = 300.0
"""How long processes may take to come by the points where they are stopped."""
USUAL: dict[str, Any] = {
    "lease_seconds": 3,
    # More than `SEND_SECONDS`, as in production: whoever was stopped before sending finds that it is too late.
    "settle_seconds": 16,
    # Less than clocks are off.
    "job_deadline_seconds": 290,
}
LOSES_A_LEASE = {
    "after store.tasks.intend 1": "dispatcher",
    "before store.upkeep.checked 3": "dispatcher",
    "before store.tasks.complete 1": "poller",
    "before store.exports.settle 1": "exporter",
}
OTHERS = {
    "after provider.submit 1": "dispatcher",
    "after store.tasks.replace_all 1": "dispatcher",
    "before store.jobs.plan 1": "dispatcher",
    "before store.tasks.complete_all 1": "poller",
    "before handle job.completed 1": "scorer",
}
STOPPED = LOSES_A_LEASE | OTHERS if LONG else LOSES_A_LEASE
"""Where processes are stopped, one at each point, and of which service: the only one that comes by there."""
SCENARIOS: dict[str, tuple[Mapping[str, str], float]] = (
    {"lease holders stopped": (STOPPED, 0.0), "clocks 5 min off": ({}, WRONG_BY)}
    if LONG
    else {"lease holders stopped, clocks 5 min off": (STOPPED, WRONG_BY)}
)


@pytest.mark.parametrize("name", SCENARIOS)
async def test_whoever_goes_on_after_its_lease_was_lost_writes_nothing(
    amqp_url: str, mongo_url: str, tmp_path: Path, report: Report, name: str
) -> None:
    points, clock_off = SCENARIOS[name]
    orders = Orders(stop_at=tuple(points), marks=tmp_path, clock_off=clock_off)
    victims = Counter(points.values())
    counts = {service: victims[service] + 1 for service in SERVICES}
    async with scenario(
        name, report, amqp_url, mongo_url, tmp_path, counts=counts, orders=orders, provider_ahead=-clock_off, **USUAL
    ) as running:
        # What was being submitted by several at once may be impossible to tell apart.
        running.may_be_held = True
        running.uncounted = lambda: sum(counts.values()) if clock_off else 0
        if LONG:
            running.sandbox.add_fault("lost_response", "submit", after=5, times=3)
        await _work_until_stand_still(running, len(points))
        await running.all_ended()
        before = _documents(running)
        halted = [service for service in running.system.services if _stands_still(service)]
        for service in halted:
            assert service.process is not None
            service.process.send_signal(signal.SIGCONT)
            running.fault()
        await asyncio.gather(*(service.ready() for service in halted))
        await running.request_many(4, prefix="later", remote_every=2)
        await running.all_ended()
        lost = [await _losses(service) for service in halted]
        await running.finish()
        assert _changed(before, _documents(running)) == {}
        assert sum(lost) >= bool(points)


def test_a_wrong_clock_is_what_services_see() -> None:
    program = (
        "from datetime import UTC, datetime; from metriq_gym.bus import handling; from tests.faults import clocks;"
        "clocks.set_ahead(300); print((handling.datetime.now(UTC) - datetime.now(UTC)).total_seconds())"
    )
    assert float(subprocess.check_output([sys.executable, "-c", program])) == pytest.approx(300, abs=1)


async def _work_until_stand_still(running: Scenario, processes: int) -> None:
    """Request jobs, at least a few, until so many processes stand still."""
    async with asyncio.timeout(PATIENCE):
        for number in itertools.count():
            await running.request(f"local-{number}")
            await running.request(f"remote-{number}", remote=True)
            if number > 3 and sum(map(_stands_still, running.system.services)) == processes:
                return
            await asyncio.sleep(1)


def _stands_still(service: ServiceProcess) -> bool:
    assert service.process is not None
    return psutil.Process(service.process.pid).status() == psutil.STATUS_STOPPED


def _documents(running: Scenario) -> dict[str, Any]:
    """Return all that is known of jobs that have ended and of their tasks, by id."""
    with pymongo.MongoClient[dict[str, Any]](running.mongo_url) as client:
        database = client[running.system.database]
        jobs = {each["_id"]: each for each in database.jobs.find({"state": {"$in": list(TERMINAL)}})}
        return jobs | {each["_id"]: each for each in database.tasks.find({"job_id": {"$in": list(jobs)}})}


LOOKED_AT = {"check_at", "checked_by"}
"""What the reconciler notes of jobs it has looked at, some of which have ended meanwhile."""


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that have changed of the documents that there were before, by `id.field`."""
    return {
        f"{name}.{field}": after[name].get(field)
        for name, document in before.items()
        for field in (document.keys() | after[name].keys()) - LOOKED_AT
        if after[name].get(field) != document.get(field)
    }


async def _losses(service: ServiceProcess) -> float:
    """Return how often it found that a lease was no longer its own."""
    return sum(value for name, value in (await service.metrics()).items() if name.name == "metriq_lease_losses_total")
