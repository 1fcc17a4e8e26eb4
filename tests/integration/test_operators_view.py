"""What an operator is shown of running services: how the work stands, and what became of a job."""

from __future__ import annotations

import json
import os
import subprocess
from datetime import UTC, datetime

import aio_pika
import pytest

from metriq_gym.bus.port import DEAD_LETTERS, QUEUES
from metriq_gym.jobs import ExportState
from metriq_gym.jobs.notices import Notice
from tests.support import terminal
from tests.support.system import System, request

pytestmark = pytest.mark.asyncio(loop_scope="module")


def mgym(running: System, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    where = {
        "METRIQ_AMQP_URL": running.amqp_url,
        "METRIQ_MONGO_URL": running.mongo_url,
        "METRIQ_MONGO_DATABASE": running.database,
    }
    return terminal.mgym({**os.environ, **where, **environment}, *arguments)


async def test_status_counts_jobs_queues_and_dead_letters(running: System) -> None:
    await running.publish(request("done"))
    await running.ended("done")
    dead = await running.channel.get_exchange(DEAD_LETTERS, ensure=False)
    for _ in range(2):
        await dead.publish(aio_pika.Message(b"{}"), "job.requested", mandatory=True)
    said = mgym(running, "status", "--json")
    assert said.returncode == 0, said.stderr
    status = json.loads(said.stdout)
    (exported,) = status["jobs"]
    assert (exported["state"], exported["count"], sum(exported["ages"].values())) == ("exported", 1, 1)
    queues = {each["name"]: each for each in status["queues"]}
    assert set(queues) == {*(queue.name for queue in QUEUES), DEAD_LETTERS}
    assert all(queues[queue.name]["consumers"] == 1 for queue in QUEUES)
    assert queues[DEAD_LETTERS]["messages"] == status["dead_letters"] == 2
    assert (status["due_tasks"], status["standing_still"], status["held"], status["stuck"]) == ([], [], [], [])
    table = mgym(running, "status").stdout
    assert "metriq.dead        2" in table
    assert "mgym dead list" in table


async def test_status_says_what_is_still_to_be_told(running: System) -> None:
    at = datetime.now(UTC)
    about = {"kind": "of.a.later.version", "subject": "j", "at": at, "text": "", "data": {}}  # the exporter leaves it
    notices = [Notice.model_validate({"id": f"j/job.held/{number}", **about}) for number in (1, 2)]
    await running.store.notices.add(notices)
    await running.store.notices.settle(notices[0].id, "webhook", ExportState.FAILED, error="gone for good")
    found = json.loads(mgym(running, "status", "--json").stdout)["untold"]
    assert [(each["id"], each["to"], each["state"], each["error"]) for each in found] == [
        ("j/job.held/1", "webhook", "failed", "gone for good"),
        ("j/job.held/2", None, "pending", None),
    ]
    assert "gone for good" in mgym(running, "status").stdout


async def test_status_without_the_broker_says_so_and_shows_the_rest(running: System) -> None:
    said = mgym(running, "status", METRIQ_AMQP_URL="amqp://localhost:1/")
    assert said.returncode == 0, said.stderr
    assert "no queues: RabbitMQ:" in said.stderr
    assert "state" in said.stdout


async def test_history_says_of_every_move_when_it_was_by_whom_and_why(running: System) -> None:
    await running.publish(request("told"))
    await running.ended("told")
    said = mgym(running, "job", "history", "told", "--json")
    history = json.loads(said.stdout)
    assert [(each["state"], each["service"], each["cause"]) for each in history] == [
        ("dispatching", "dispatcher", "requested"),
        ("dispatched", "dispatcher", "tasks with local: 1"),
        ("completed", "poller", "tasks with counts: 1"),
        ("scored", "scorer", "tasks scored: 1"),
        ("exported", "exporter", "every export has ended"),
    ]
    times = [each["at"] for each in history]
    assert times == sorted(times)
    table = mgym(running, "job", "history", "told").stdout
    assert all(each["cause"] in table and each["service"] in table for each in history)
