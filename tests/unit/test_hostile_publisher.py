"""What security.md says that a publisher can do: if it could not any more, the page would have to say so."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import aio_pika
import bson
import pytest
import pytest_asyncio

from metriq_gym.bus.memory import MemoryBus
from metriq_gym.bus.port import EVENTS, LANE_EXCHANGE, LANES, Delivery
from metriq_gym.bus.rabbitmq import envelope
from metriq_gym.bus.retry import TRANSIENT
from metriq_gym.errors import Transient, Unreadable
from metriq_gym.jobs import Failure, JobState
from metriq_gym.jobs.changes import Accepted, Failed
from metriq_gym.service import attempts
from metriq_gym.service.service import Context
from metriq_gym.settings import Settings
from metriq_gym.testing import memory_store
from services.dispatcher import Dispatcher
from services.dispatcher.lanes import SIZES
from services.exporter import Exporter
from services.poller import Poller
from services.scorer import Scorer
from tests.support.inprocess import InlinePool

CONFIG = {"benchmark_name": "Bernstein-Vazirani", "min_qubits": 3, "max_qubits": 3, "max_circuits": 1, "shots": 10}
WHERE = {"provider": "local", "device": "aer_simulator"}


@pytest_asyncio.fixture
async def dispatcher() -> AsyncIterator[Dispatcher]:
    async with memory_store() as store, MemoryBus() as bus:
        yield Dispatcher(Context(Settings(), bus, store, InlinePool()))


def delivery(key: str, user: str | None, **body: Any) -> Delivery:
    return Delivery(key, json.dumps(body).encode(), user_id=user)


async def state(dispatcher: Dispatcher, job_id: str) -> JobState:
    return (await dispatcher.store.jobs.get(job_id)).state


async def test_a_request_is_run_whoever_asks_and_whatever_it_costs(dispatcher: Dispatcher) -> None:
    users = ("alice", None)
    for number, user in enumerate(users):
        config = {**CONFIG, "shots": 100_000}
        await dispatcher.handle(delivery("job.requested", user, job_id=f"j{number}", **WHERE, config=config))
    found = [await state(dispatcher, f"j{number}") for number in range(len(users))]
    assert found == [JobState.DISPATCHED] * len(users)


async def test_a_cancellation_ends_a_job_whoever_asked_for_it(dispatcher: Dispatcher) -> None:
    await dispatcher.handle(delivery("job.requested", "alice", job_id="j", **WHERE, config=CONFIG))
    await dispatcher.handle(delivery("job.cancel_requested", "mallory", job_id="j"))
    assert await state(dispatcher, "j") is JobState.CANCELLED


async def test_a_failed_job_goes_on_whoever_asks_for_it(dispatcher: Dispatcher) -> None:
    accepted = Accepted(provider="local", device="aer_simulator", target="aer_simulator", config=CONFIG)
    await dispatcher.store.jobs.accept("j", accepted, owner="d", lease_seconds=0)
    failure = Failure(outcome="error", reason="no credit", source="dispatch")
    await dispatcher.store.jobs.move("j", Failed(failure=failure), service="test")
    await dispatcher.handle(delivery("job.resume_requested", "mallory", job_id="j"))
    assert await state(dispatcher, "j") is JobState.DISPATCHING


async def test_a_schedule_is_run_paused_replaced_and_deleted_whoever_asks_for_it(dispatcher: Dispatcher) -> None:
    schedules, nightly = dispatcher.store.schedules, {"name": "nightly", **WHERE}
    await dispatcher.handle(
        delivery("schedule.requested", "alice", **nightly, request_id="a", cron="0 3 * * *", config=CONFIG)
    )
    for number, action in enumerate(("run", "pause")):
        change = {"request_id": str(number), "name": "nightly", "action": action}
        await dispatcher.handle(delivery("schedule.change_requested", "mallory", **change))
    kept = await schedules.get("nightly")
    assert kept is not None
    assert (len(kept.open), kept.paused) == (1, True)
    more = {"request_id": "m", "cron": "* * * * *", "config": {**CONFIG, "shots": 100_000}, "replace": True}
    await dispatcher.handle(delivery("schedule.requested", "mallory", **nightly, **more))
    kept = await schedules.get("nightly")
    assert kept is not None
    assert (kept.asked.cron, kept.publisher) == ("* * * * *", "mallory")
    await dispatcher.handle(
        delivery("schedule.change_requested", "mallory", request_id="2", name="nightly", action="delete")
    )
    assert await schedules.get("nightly") is None


async def test_requests_in_the_name_of_a_group_make_those_of_the_group_wait(dispatcher: Dispatcher) -> None:
    for number in range(SIZES[0]):
        await dispatcher.handle(
            delivery("job.requested", "mallory", job_id=f"m{number}", **WHERE, config=CONFIG, group="alice's")
        )
    await dispatcher.handle(delivery("job.requested", "alice", job_id="a", **WHERE, config=CONFIG, group="alice's"))
    assert isinstance(dispatcher.bus, MemoryBus)
    assert (await dispatcher.bus.waiting())[LANES[0].name] == 1


def message(exchange: str, headers: dict[str, Any], *, redelivered: bool = False) -> Any:
    return SimpleNamespace(
        body=b"{}", headers=headers, routing_key="job.requested", message_id="m", correlation_id=None, user_id=None,
        content_type=None, content_encoding=None, timestamp=None, type=None, app_id=None, exchange=exchange,
        redelivered=redelivered,
    )  # fmt: skip


def test_what_a_publisher_says_of_earlier_attempts_counts_for_nothing() -> None:
    """Else it would pass by the lanes, since what comes again has had its turn."""
    told = {"attempts": 5, "failures": 4, "postponed": 3, "routing_key": "job.scored", "message_id": "x", "wait_ms": 9}
    forged = {"metriq-retry": told, "x-delivery-count": 7}
    found = envelope.read(message(EVENTS, forged))
    assert (found.attempt, found.failures, found.postponed, found.wait) == (1, 0, 0, 0.0)
    assert (found.routing_key, found.message_id) == ("job.requested", "m")
    assert envelope.read(message(EVENTS, forged, redelivered=True)).attempt == 1 + 7  # by the broker's count
    for exchange in (LANE_EXCHANGE, ""):  # by which only services send
        assert envelope.read(message(exchange, forged)).attempt == 1 + 5


def test_what_is_put_aside_or_tried_again_has_no_priority_at_the_broker() -> None:
    """RabbitMQ 4 has two in a quorum queue."""
    asked = message(EVENTS, {})
    asked.priority = 9
    found = envelope.read(asked)
    copies = [envelope.to_set_aside(found, "dispatcher"), envelope.to_retry(asked, found)]
    assert [copy.priority for copy in copies] == [aio_pika.Message(b"").priority] * 2


async def test_of_two_who_ask_for_the_same_estimate_the_first_is_answered(dispatcher: Dispatcher) -> None:
    for user, shots in (("mallory", 30), ("alice", 20)):
        config = {**CONFIG, "shots": shots}
        await dispatcher.handle(delivery("estimate.requested", user, estimate_id="e", **WHERE, config=config))
    answer = await dispatcher.store.estimates.get("e")
    assert answer is not None
    assert answer.estimate is not None
    assert answer.estimate["shots"] == 30


def test_what_a_publisher_says_of_a_dead_letter_counts_for_nothing() -> None:
    told = {"queue": "metriq.exporter", "reason": "all is well", "routing_key": "job.scored", "job_id": "x"}
    death = {"reason": "delivery_limit", "queue": "metriq.dispatcher", "exchange": EVENTS}
    retry = {"attempts": 5, "routing_key": "job.scored", "message_id": "x"}
    letter = envelope.read_letter(
        message("metriq.dead", {"metriq-dead": told, "metriq-retry": retry, "x-death": [death]})
    )
    assert (letter.queue, letter.routing_key, letter.message_id) == ("metriq.dispatcher", "job.requested", "m")
    assert letter.reason.startswith("delivery limit")


@pytest.mark.parametrize("key", ["job.cancel_requested", "job.resume_requested"])
async def test_what_is_asked_about_a_job_in_no_version_holds_no_job_and_stops_no_service(
    dispatcher: Dispatcher, key: str
) -> None:
    await dispatcher.handle(delivery("job.requested", "alice", job_id="j", **WHERE, config=CONFIG))
    for _ in range(50):
        with pytest.raises(Unreadable):
            await dispatcher.attempt(delivery(key, "mallory", job_id="j", schema_version=2))
    assert (await dispatcher.store.jobs.get("j")).held is None
    assert dispatcher.breaker.is_closed


@pytest.mark.parametrize("kind", [Poller, Scorer, Exporter])
async def test_a_request_that_comes_to_another_service_moves_no_job_and_stops_no_service(
    dispatcher: Dispatcher, kind: type[Poller | Scorer | Exporter]
) -> None:
    """RabbitMQ 3 lets a publisher send it there by the header CC."""
    await dispatcher.handle(delivery("job.requested", "alice", job_id="j", **WHERE, config=CONFIG))
    before = await dispatcher.store.jobs.get("j")
    service = kind(Context(dispatcher.settings, dispatcher.bus, dispatcher.store, dispatcher.pool))
    for _ in range(50):
        with pytest.raises(Unreadable, match=r"takes no job\.requested"):
            await service.attempt(delivery("job.requested", "mallory", job_id="j", outcome="error", reason="forged"))
    assert await dispatcher.store.jobs.get("j") == before
    assert service.breaker.is_closed


class Noting(InlinePool):
    """Notes for how long anything may take."""

    def __init__(self) -> None:
        super().__init__()
        self.limits: list[float | None] = []

    async def run_within(self, seconds: float | None, function: Any, *args: Any, **kwargs: Any) -> Any:
        self.limits.append(seconds)
        return await super().run_within(seconds, function, *args, **kwargs)


async def test_each_of_the_three_steps_of_an_estimate_takes_a_minute_at_most(dispatcher: Dispatcher) -> None:
    pool = Noting()
    asked = {"estimate_id": "e", **WHERE, "config": CONFIG, "predict": True, "circuits": 200}
    noting = Dispatcher(Context(dispatcher.settings, dispatcher.bus, dispatcher.store, pool))
    await noting.handle(delivery("estimate.requested", "mallory", **asked))
    assert pool.limits == [60.0] * 3


class Away(InlinePool):
    """Lets no job go on."""

    async def run_within(self, seconds: float | None, function: Any, *args: Any, **kwargs: Any) -> Any:
        raise Transient("the provider is away")


async def test_a_job_that_cannot_go_on_now_ends_no_sooner_however_often_it_is_asked_for(
    dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "TRANSIENT", replace(TRANSIENT, attempts=3))
    away = Dispatcher(Context(dispatcher.settings, dispatcher.bus, dispatcher.store, Away()))
    for user in ("alice", *["mallory"] * 5):
        with pytest.raises(Transient, match="away"):
            await away.attempt(delivery("job.requested", user, job_id="j", **WHERE, config=CONFIG))
    assert await state(dispatcher, "j") is JobState.DISPATCHING
    await away.attempt(replace(delivery("job.requested", "alice", job_id="j"), postponed=2))
    assert await state(dispatcher, "j") is JobState.FAILED


async def test_an_id_that_is_taken_runs_nothing_more_and_a_suite_that_meets_it_is_rejected(
    dispatcher: Dispatcher,
) -> None:
    mine, theirs = {**CONFIG, "shots": 20}, {**CONFIG, "shots": 30}
    for job_id in ("j", "s.001-one"):
        await dispatcher.handle(delivery("job.requested", "mallory", job_id=job_id, **WHERE, config=theirs))
    await dispatcher.handle(delivery("job.requested", "alice", job_id="j", **WHERE, config=mine))
    suite = {"name": "S", "benchmarks": [{"name": "one", "config": mine}]}
    await dispatcher.handle(delivery("suite.requested", "alice", suite_id="s", **WHERE, suite=suite, all=True))
    assert (await dispatcher.store.jobs.get("j")).config["shots"] == 30
    rejected = await dispatcher.store.jobs.get("s")
    assert rejected.state is JobState.REJECTED
    assert rejected.failure is not None
    assert "is in use by jobs of other requests: s.001-one" in rejected.failure.reason


@pytest.mark.parametrize("key", ["job.requested", "suite.requested", "schedule.requested"])
async def test_whatever_is_rejected_leaves_one_bounded_document(dispatcher: Dispatcher, key: str) -> None:
    long = "x" * 2**20
    body = {"job_id": "j", "suite_id": "j", "request_id": "j", "config": {"benchmark_name": long, long: [long]}}
    for _ in range(2):
        await dispatcher.handle(delivery(key, None, **body, name=long, device=long, tags=[long] * 3, remarks=long))
    assert len(await dispatcher.store.catalogue.find(limit=10)) == 1
    document = (await dispatcher.store.jobs.get("j")).model_dump(by_alias=True)
    assert len(bson.encode(document)) < 2**16
