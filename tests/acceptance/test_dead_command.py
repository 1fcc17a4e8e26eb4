"""``mgym dead …`` as an operator types it, on a real broker with messages that a service gave up."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from metriq_gym.bus.port import EXPORTER, POLLER, SCORER, Delivery
from metriq_gym.bus.rabbitmq import RabbitMQBus
from metriq_gym.bus.rabbitmq.dead_letters import locked_letters
from metriq_gym.jobs import JobState
from metriq_gym.jobs.changes import Accepted
from metriq_gym.messages import JobCompleted, JobDispatched, JobScored, Message
from metriq_gym.store import Store
from tests.support.handlers import Recorder
from tests.support.jobs import ended_job
from tests.support.patience import PATIENCE
from tests.support.terminal import mgym, mgym_here, on_terminal

MESSAGES: tuple[Message, ...] = (
    JobDispatched(job_id="wit-aaa"),
    JobDispatched(job_id="wit-abb"),
    JobCompleted(job_id="wit-aaa"),
    JobScored(job_id="qv-1"),
)


def fail(delivery: Delivery) -> None:
    raise ValueError(f"cannot [read] {delivery.correlation_id}\x1b[2J")


@pytest.fixture
async def url(amqp_url: str, mongo_url: str, mongo_database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A broker with a dead letter of each message, and an empty store."""
    monkeypatch.setenv("METRIQ_MONGO_URL", mongo_url)
    monkeypatch.setenv("METRIQ_MONGO_DATABASE", mongo_database)
    async with RabbitMQBus(amqp_url, app_id="tests", retry_pauses=(0.01,)) as bus:
        for queue in (POLLER, SCORER, EXPORTER):
            await bus.consume(queue, Recorder(fail), prefetch=1)
        for number, message in enumerate(MESSAGES, start=1):
            await bus.publish(message)
            await until_there_are(amqp_url, number)
    return amqp_url


async def until_there_are(url: str, number: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while await count(url) != number:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def count(url: str) -> int:
    async with locked_letters(url) as held:
        return len(held)


def environment(url: str) -> Mapping[str, str]:
    return {**os.environ, "METRIQ_AMQP_URL": url}


async def told(url: str, *arguments: str) -> tuple[int, str, str]:
    """Run a command; gives its exit code and what it wrote."""
    done = await asyncio.to_thread(mgym_here, environment(url), "dead", *arguments)
    return done.returncode, done.stdout, done.stderr


async def listed(url: str, *filters: str) -> list[dict[str, Any]]:
    code, said, error = await told(url, "list", *filters, "--json")
    assert code == 0, error
    found: list[dict[str, Any]] = json.loads(said)
    return found


async def test_list_shows_what_was_given_up_and_why(url: str) -> None:
    everything = await listed(url)
    assert [each["id"] for each in everything] == [message.message_id for message in MESSAGES]
    assert [each["service"] for each in everything] == ["poller", "poller", "scorer", "exporter"]
    assert everything[0]["reason"].startswith("ValueError: cannot [read] wit-aaa")
    assert everything[0]["deliveries"] == 10
    assert [each["id"] for each in await listed(url, "--job", "wit-aaa")] == [
        "wit-aaa/job.dispatched",
        "wit-aaa/job.completed",
    ]
    assert [each["id"] for each in await listed(url, "--job", "wit", "--service", "scorer")] == [
        "wit-aaa/job.completed"
    ]
    assert [each["id"] for each in await listed(url, "--reason", "READ] QV")] == ["qv-1/job.scored"]
    assert await listed(url, "--service", "dispatcher") == []
    code, said, _ = await told(url, "list")
    assert code == 0
    assert len(said.splitlines()) == 1 + len(MESSAGES)
    assert "cannot [read] qv-1\\x1b[2J" in said
    assert "\x1b" not in said


async def test_show_prints_traceback_and_body_of_the_letter_that_is_meant(url: str) -> None:
    code, said, _ = await told(url, "show", "qv")
    assert code == 0
    assert "Traceback (most recent call last)" in said
    assert '{"schema_version":1,"job_id":"qv-1"}' in said
    shown = json.loads((await told(url, "show", "wit-ab", "--json"))[1])
    assert [each["job_id"] for each in shown] == ["wit-abb"]
    assert "in fail" in shown[0]["traceback"]
    assert json.loads(shown[0]["body"])["job_id"] == "wit-abb"
    code, _, error = await told(url, "show", "wit-a")
    assert code == 2
    assert "could be any of several letters: wit-aaa/job.completed, wit-aaa/job.dispatched" in error
    code, _, error = await told(url, "show", "nothing")
    assert code == 3
    assert "`mgym dead list` shows those there are" in error


async def test_replay_gives_the_chosen_letters_back_and_leaves_the_others(url: str) -> None:
    code, _, error = await told(url, "replay", "wit-aaa/job.d", "wit-ab")
    assert code == 0
    assert "wit-aaa/job.dispatched is in metriq.poller again" in error
    assert [each["id"] for each in await listed(url)] == ["wit-aaa/job.completed", "qv-1/job.scored"]
    recorder = Recorder()
    async with RabbitMQBus(url, app_id="tests") as bus:
        await bus.consume(POLLER, recorder, prefetch=2)
        await recorder.received(2)
    assert sorted(map(str, recorder.jobs)) == ["wit-aaa", "wit-abb"]


async def test_replay_lets_the_job_go_on(url: str, mongo_url: str, mongo_database: str) -> None:
    async with Store.at(mongo_url, mongo_database) as store:
        await store.jobs.accept("wit-aaa", Accepted(), owner="gone", lease_seconds=0)
        await store.troubles.give_up("wit-aaa", "poller", "a defect", hold_after=1)
        shown = await asyncio.to_thread(mgym_here, environment(url), "job", "resolve", "wit-aaa")
        assert "mgym dead replay --job wit-aaa" in shown.stderr
        shown = await asyncio.to_thread(mgym_here, environment(url), "status")
        assert "mgym dead replay --job wit-aaa" in shown.stdout
        assert (await told(url, "replay", "--job", "wit-aaa", "--yes"))[0] == 0
        job = await store.jobs.get("wit-aaa")
        assert (job.held, job.given_up) == (None, 0)


async def test_everything_is_replayed_or_dropped_only_when_meant(url: str) -> None:
    for command in ("replay", "drop"):
        code, _, error = await told(url, command)
        assert (code, "--all" in error) == (2, True)
        assert (await told(url, command, "--all", "--job", "wit"))[0] == 2
        code, said = await asyncio.to_thread(
            on_terminal, environment(url), ["dead", command, "--all"], [("4 letters?", "n\n")]
        )
        assert code == 1, said
    assert await count(url) == len(MESSAGES)
    assert (await told(url, "drop", "qv", "--yes"))[0] == 0
    assert (await told(url, "drop", "--service", "scorer", "--yes"))[0] == 0
    assert [each["id"] for each in await listed(url)] == ["wit-aaa/job.dispatched", "wit-abb/job.dispatched"]
    code, said = await asyncio.to_thread(
        on_terminal, environment(url), ["dead", "replay", "--all"], [("2 letters?", "y\n")]
    )
    assert code == 0, said
    assert await listed(url) == []
    code, _, error = await told(url, "replay", "--all", "--yes")
    assert (code, error.strip()) == (0, "no dead letters")


async def test_status_and_doctor_count_dead_letters(url: str) -> None:
    servers = environment(url)
    status = await asyncio.to_thread(mgym_here, servers, "status", "--json")
    assert json.loads(status.stdout)["dead_letters"] == len(MESSAGES)
    shown = await asyncio.to_thread(mgym_here, servers, "status")
    assert "mgym dead list" in shown.stdout
    doctor = await asyncio.to_thread(mgym_here, servers, "doctor", "--json")
    [finding] = [each for each in json.loads(doctor.stdout) if each["subject"] == "queue metriq.dead"]
    assert finding["found"].startswith(f"{len(MESSAGES)} ")
    assert finding["remedy"] == "look at them: mgym dead list"


def test_without_a_broker_it_says_where_messages_are_then() -> None:
    without = {key: value for key, value in os.environ.items() if not key.startswith("METRIQ_")}
    done = mgym(without, "dead", "list")
    assert done.returncode == 2
    assert "embedded runtime" in done.stderr


def test_broker_that_is_away_is_an_error_that_says_so() -> None:
    done = mgym_here(environment("amqp://guest:guest@127.0.0.1:1/"), "dead", "list")
    assert done.returncode == 4
    assert "mgym doctor" in done.stderr


async def test_purge_deletes_old_letters_of_jobs_that_ended_and_keeps_those_of_others(
    url: str, monkeypatch: pytest.MonkeyPatch, mongo_url: str, mongo_database: str
) -> None:
    """A day from now: the letters are new."""
    monkeypatch.setattr("metriq_gym.cli.purge.before", lambda _, now: now + timedelta(days=1))
    async with Store.at(mongo_url, mongo_database) as store:
        await store.records.add(ended_job("wit-aaa", state=JobState.EXPORTED))
        await store.records.add(ended_job("qv-1", state=JobState.EXPORTED))
        await store.records.delete("qv-1")
    for option, said, left in (("--dry-run", "would go: 3 dead letters", 4), ("--yes", "gone: 3 dead letters", 1)):
        done = await asyncio.to_thread(mgym_here, environment(url), "purge", "--letters-after", "1", option)
        assert (done.returncode, done.stderr.strip()) == (0, said)
        assert await count(url) == left
    assert [each["job_id"] for each in await listed(url)] == ["wit-abb"]
