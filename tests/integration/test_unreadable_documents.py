"""A later version's documents among ours: the services and the command line go on beside them."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

import pymongo
import pytest

from metriq_gym.jobs import JobState
from tests.contract.test_store_reading import GOOD_JOB, GOOD_TASK, ODD_JOBS, ODD_TASKS, PAST
from tests.support.patience import PATIENCE
from tests.support.system import System, request
from tests.support.terminal import mgym_here

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEYS = ["job.requested", "job.dispatched", "job.completed", "job.scored", "job.failed", "job.cancel_requested"]


async def test_services_and_commands_go_on_beside_documents_that_they_cannot_read(running: System) -> None:
    with pymongo.MongoClient[dict[str, Any]](running.mongo_url) as client:
        database = client[running.database]
        for state in ("dispatching", "dispatched", "completed", "scored", "failed"):
            database.jobs.insert_many(
                [
                    {"_id": f"{name}-{state}"} | GOOD_JOB | {"state": state} | changes
                    for name, changes in ODD_JOBS.items()
                ]
            )
        database.tasks.insert_many(
            [
                {key: value for key, value in each.items() if value is not ...}
                for name, changes in ODD_TASKS.items()
                for each in [GOOD_TASK | {"_id": f"{name}:0", "job_id": name} | changes]
            ]
        )
        before = _odd(database)
        for key in KEYS:
            body = request("export-dispatching") if key == "job.requested" else {"job_id": "export-dispatching"}
            await running.publish(body | {"outcome": "error", "reason": "x"}, key=key)
        names = [f"beside-{number}" for number in range(6)]
        for name in names:
            await running.publish(request(name))
        ended = await running.all_ended(names)
        assert {job.state for job in ended} == {JobState.EXPORTED}
        await _looks(running, 2)
        await asyncio.gather(*(service.ready() for service in running.services))
        urls = {
            "METRIQ_AMQP_URL": running.amqp_url,
            "METRIQ_MONGO_URL": running.mongo_url,
            "METRIQ_MONGO_DATABASE": running.database,
        }
        for command in (("job", "list"), ("status",), ("suite", "list"), ("doctor", "--json")):
            done = await asyncio.to_thread(mgym_here, os.environ | urls, *command)
            assert done.returncode in (0, 1), done.stderr
            assert "Traceback" not in done.stderr
        told = await asyncio.to_thread(mgym_here, os.environ | urls, "status", "--json")
        odd = {each["id"] for each in json.loads(told.stdout)["unreadable"]}
        assert odd >= {"export-scored", "state-dispatching", "seed:0"}
        assert _odd(database) == before


def _odd(database: Any) -> list[Any]:
    jobs = database.jobs.find({"created_at": {"$in": [PAST, None]}}).sort("_id")
    tasks = database.tasks.find({"next_poll_at": PAST}).sort("_id")
    return [*jobs, *tasks]


async def _looks(running: System, times: int) -> None:
    """Return when the reconciler has looked after all jobs so many times more."""
    (dispatcher,) = running.named("dispatcher")
    leases = running.store._database.leases
    for _ in range(times):
        before = await leases.find_one({"_id": "reconciler"})
        async with asyncio.timeout(PATIENCE):
            while await leases.find_one({"_id": "reconciler"}) == before:
                assert dispatcher.process is not None
                assert dispatcher.process.poll() is None, dispatcher.log.read_text()[-5000:]
                await asyncio.sleep(0.1)
