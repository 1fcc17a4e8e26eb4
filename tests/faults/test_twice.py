"""Every message twice and in any order: the documents are those of a quiet run."""

from __future__ import annotations

from typing import Any

import pymongo
import pytest

from metriq_gym.bus.port import EVENTS, LANE_EXCHANGE
from metriq_gym.jobs import JobState
from tests.faults.report import LONG, Report
from tests.faults.scenario import Scenario, scenario
from tests.faults.shuffler import shuffled
from tests.servers.rabbitmq import Broker, virtual_host

JOBS = 50 if LONG else 3
"""How many of each kind."""
LONGEST = 3.0 if LONG else 1.5
"""Seconds that a message is late at most: longer than what follows from it takes."""
SEEDED = {"benchmark_name": "Mirror Circuits", "width": 4, "num_layers": 2, "num_circuits": 2, "shots": 10}
"""A benchmark that makes the same circuits of the same seed."""
OF_THE_MOMENT = {
    *("created_at", "updated_at", "dispatch_time", "deadline_at", "check_at", "checked_by", "runtime_seconds"),
    *(
        "lease",
        "move",
        "lane",
        "intended_at",
        "next_poll_at",
        "provider_job_id",
        "polls",
        "unclear",
        "plan",
        "dispatcher",
        "execution_seconds",
        "sampling_seconds",
        "ended_at",
    ),
    *("at", "attempts", "location", "traceparent"),
}
"""Fields that tell when, how often and by whom, and are another with every run."""


async def test_every_message_twice_and_shuffled_changes_no_document(
    amqp_broker: Broker, mongo_url: str, tmp_path_factory: pytest.TempPathFactory, report: Report
) -> None:
    requests = _requests()
    folders = tmp_path_factory.mktemp("quiet"), tmp_path_factory.mktemp("shuffled")
    with virtual_host(amqp_broker) as amqp_url:
        async with scenario("no faults", report, amqp_url, mongo_url, folders[0]) as running:
            await _request(running, requests)
            await running.finish()
            quiet = _documents(mongo_url, running.system.database)
    with virtual_host(amqp_broker) as amqp_url:
        async with (
            scenario("every message twice, shuffled", report, amqp_url, mongo_url, folders[1]) as running,
            shuffled(amqp_url, running.random, LONGEST) as shuffler,
        ):
            running.quiet, running.uncounted = shuffler.quiet, shuffler.doubled.total
            await _request(running, running.random.sample(requests, len(requests)))
            await running.finish()
            found = _documents(mongo_url, running.system.database)
    assert found.keys() == quiet.keys()
    assert {name: (quiet[name], document) for name, document in found.items() if document != quiet[name]} == {}
    assert shuffler.doubled[EVENTS] > 3 * len(requests)
    assert shuffler.doubled[LANE_EXCHANGE] > 0


async def _request(running: Scenario, requests: list[dict[str, Any]]) -> None:
    running.reached = {JobState.EXPORTED, JobState.FAILED, JobState.REJECTED}
    for body in requests:
        await running.publish(body)
        running.accepted.add(body["job_id"])


def _requests() -> list[dict[str, Any]]:
    """Jobs that end in every way."""
    local = {"provider": "local", "device": "aer_simulator"}
    remote = {"provider": "tyxonq", "device": "homebrew_s2?o=3"}
    requests: list[dict[str, Any]] = []
    for number in range(JOBS):
        config = {**SEEDED, "seed": number}
        requests += [
            {"job_id": f"local-{number}", **local, "config": config},
            {"job_id": f"remote-{number}", **remote, "config": config},
            {"job_id": f"wide-{number}", **remote, "config": {**config, "width": 14}},
            {"job_id": f"wrong-{number}", **local, "config": {**config, "shots": 0}},
        ]
    return requests


def _documents(mongo_url: str, database: str) -> dict[str, Any]:
    """Return all documents of jobs and tasks without what is another with every run."""
    with pymongo.MongoClient[dict[str, Any]](mongo_url) as client:
        return {
            f"{name} {document['_id']}": _lasting(document)
            for name in ("jobs", "tasks")
            for document in client[database][name].find().sort("_id")
        }


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _lasting(each) for key, each in value.items() if key not in OF_THE_MOMENT}
    return [_lasting(each) for each in value] if isinstance(value, list) else value
