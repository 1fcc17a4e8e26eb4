"""No publisher has more jobs without a result than its quota, however it asks for them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio

from metriq_gym.bus.memory import MemoryBus
from metriq_gym.bus.port import Delivery
from metriq_gym.bus.rabbitmq import envelope
from metriq_gym.jobs import JobState
from metriq_gym.jobs.changes import Accepted, Cancelled, Failed
from metriq_gym.jobs.documents import Failure
from metriq_gym.jobs.lifecycle import refusal
from metriq_gym.service.service import Context
from metriq_gym.settings import Settings
from metriq_gym.testing import memory_store
from services.dispatcher import Dispatcher
from tests.support.inprocess import InlinePool

CONFIG = {"benchmark_name": "Bernstein-Vazirani", "min_qubits": 3, "max_qubits": 3, "max_circuits": 1, "shots": 10}
WHERE = {"provider": "local", "device": "aer_simulator"}
MOST = 3


@pytest_asyncio.fixture
async def dispatcher() -> AsyncIterator[Dispatcher]:
    settings = Settings(quota_jobs=MOST, quota_exempt=("operator",))
    async with memory_store() as store, MemoryBus() as bus:
        yield Dispatcher(Context(settings, bus, store, InlinePool()))


def asked(job_id: str, user: str | None = "alice", **more: Any) -> Delivery:
    body = {"job_id": job_id, **WHERE, "config": CONFIG, **more}
    return Delivery("job.requested", json.dumps(body).encode(), user_id=user)


def suite(suite_id: str, jobs: int, user: str = "alice") -> Delivery:
    benchmarks = [{"name": f"n{number}", "config": CONFIG} for number in range(jobs)]
    body = {"suite_id": suite_id, **WHERE, "suite": {"name": "S", "benchmarks": benchmarks}, "all": True}
    return Delivery("suite.requested", json.dumps(body).encode(), user_id=user)


async def state(dispatcher: Dispatcher, job_id: str) -> JobState:
    return (await dispatcher.store.jobs.get(job_id)).state


async def fill(dispatcher: Dispatcher, user: str | None = "alice") -> None:
    for number in range(MOST):
        await dispatcher.handle(asked(f"{user}-{number}", user))
        assert await state(dispatcher, f"{user}-{number}") is JobState.DISPATCHED


async def test_a_request_over_its_publishers_quota_is_rejected_with_the_reason(dispatcher: Dispatcher) -> None:
    await fill(dispatcher)
    await dispatcher.handle(asked("over", group="another"))
    job = await dispatcher.store.jobs.get("over")
    assert job.state is JobState.REJECTED
    assert job.failure is not None
    assert "user alice may have 3 jobs without a result" in job.failure.reason


async def test_other_publishers_and_those_who_are_exempt_have_their_own(dispatcher: Dispatcher) -> None:
    await fill(dispatcher)
    await fill(dispatcher, "bob")
    for number in range(MOST + 1):
        await dispatcher.handle(asked(f"o{number}", "operator"))
        assert await state(dispatcher, f"o{number}") is JobState.DISPATCHED


async def test_all_who_name_no_user_have_one_quota_whatever_their_body_says(dispatcher: Dispatcher) -> None:
    await fill(dispatcher, None)
    await dispatcher.handle(asked("over", None, publisher="bob", user_id="bob", group="bob"))
    assert await state(dispatcher, "over") is JobState.REJECTED


async def test_a_job_that_ends_makes_room_for_one_more(dispatcher: Dispatcher) -> None:
    await fill(dispatcher)
    await dispatcher.store.jobs.move("alice-1", Cancelled(), service="test")
    await dispatcher.handle(asked("next"))
    await dispatcher.handle(asked("over"))
    assert [await state(dispatcher, each) for each in ("next", "over")] == [JobState.DISPATCHED, JobState.REJECTED]


async def test_a_deleted_job_makes_room(dispatcher: Dispatcher) -> None:
    await fill(dispatcher)
    await dispatcher.store.jobs.move("alice-1", Cancelled(), service="test")
    await dispatcher.store.tasks.cancel("alice-1")
    await dispatcher.store.records.delete("alice-1")
    await dispatcher.handle(asked("next"))
    assert await state(dispatcher, "next") is JobState.DISPATCHED


async def test_a_request_that_comes_again_counts_once(dispatcher: Dispatcher) -> None:
    for _ in range(MOST + 1):
        await dispatcher.handle(asked("alice-0"))
    await fill(dispatcher)


async def test_a_request_whose_dispatcher_died_before_its_job_was_stored_has_its_place(dispatcher: Dispatcher) -> None:
    claimed = [await dispatcher.store.quotas.claim("user alice", [f"alice-{n}"], MOST, 60) for n in range(MOST)]
    assert claimed == [True] * MOST
    await fill(dispatcher)


async def test_a_suite_is_accepted_as_a_whole_or_not_at_all(dispatcher: Dispatcher) -> None:
    await dispatcher.handle(asked("alice-0"))
    await dispatcher.handle(suite("large", MOST))
    assert await state(dispatcher, "large") is JobState.REJECTED
    assert await dispatcher.store.suites.plan("large") is None
    await dispatcher.handle(suite("fits", MOST - 1))
    await dispatcher.handle(suite("fits", MOST - 1))
    assert await dispatcher.store.suites.plan("fits") is not None
    await dispatcher.handle(asked("over"))
    assert await state(dispatcher, "over") is JobState.REJECTED
    await dispatcher.handle(asked("fits.001-n0", "dispatcher"))
    assert await state(dispatcher, "fits.001-n0") is JobState.DISPATCHED


async def test_what_a_schedule_requests_counts_for_whom_asked_for_it(dispatcher: Dispatcher) -> None:
    await fill(dispatcher)
    schedule = {"request_id": "r", "name": "nightly", "cron": "0 3 * * *", **WHERE, "config": CONFIG}
    await dispatcher.handle(Delivery("schedule.requested", json.dumps(schedule).encode(), user_id="alice"))
    run = {"request_id": "now", "name": "nightly", "action": "run"}
    await dispatcher.handle(Delivery("schedule.change_requested", json.dumps(run).encode(), user_id="bob"))
    await dispatcher.scheduler()
    kept = await dispatcher.store.schedules.get("nightly")
    assert kept is not None
    (tick,) = kept.open
    await dispatcher.handle(asked(tick.id, "dispatcher"))
    job = await dispatcher.store.jobs.get(tick.id)
    assert job.failure is not None
    assert "user alice" in job.failure.reason


async def test_a_failed_job_is_resumed_only_where_there_is_room(dispatcher: Dispatcher) -> None:
    failure = Failure(outcome="error", reason="no credit", source="dispatch")
    store = dispatcher.store
    accepted = Accepted(provider="local", device="aer_simulator", target="aer_simulator", config=CONFIG)
    await store.jobs.accept("failed", accepted, owner="d", lease_seconds=0)
    await store.jobs.move("failed", Failed(failure=failure), service="test")
    await fill(dispatcher)
    resume = Delivery("job.resume_requested", b'{"job_id": "failed", "resumed": 0}', user_id="alice")
    await dispatcher.handle(resume)
    assert await state(dispatcher, "failed") is JobState.FAILED
    refused = await store.jobs.get("failed")
    assert "user alice" in (refusal(refused, after=len(refused.history) - 1) or "")
    await store.jobs.move("alice-0", Cancelled(), service="test")
    await dispatcher.handle(resume)
    assert await state(dispatcher, "failed") is JobState.DISPATCHING
    lines = len((await store.jobs.get("failed")).history)
    await dispatcher.handle(resume)  # which comes again, and refuses nothing that has gone on
    assert len((await store.jobs.get("failed")).history) == lines
    await dispatcher.handle(asked("over"))
    assert await state(dispatcher, "over") is JobState.REJECTED


def message(user: str | None, **headers: Any) -> Any:
    return SimpleNamespace(
        body=b"{}", headers=headers, routing_key="job.requested", message_id="m", correlation_id=None, user_id=user,
        content_type=None, content_encoding=None, timestamp=None, type=None, app_id=None, exchange="",
        redelivered=False,
    )  # fmt: skip


@pytest.mark.parametrize("user", ["alice", None])
def test_copies_keep_whose_request_it_was_and_a_strangers_word_counts_for_nothing(user: str | None) -> None:
    forged = message(user, **{envelope.PUBLISHER: "bob"})
    delivery = envelope.read(forged, own="dispatcher")
    assert delivery.user_id == user
    for copy in (envelope.to_retry(forged, delivery), envelope.to_set_aside(delivery, "dispatcher")):
        again = envelope.read(message("dispatcher", **copy.headers), own="dispatcher")
        assert again.user_id == user
        assert envelope.read(message("mallory", **copy.headers), own="dispatcher").user_id == "mallory"
        assert envelope.read(message(None, **copy.headers), own=None).user_id is None
