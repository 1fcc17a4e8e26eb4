"""The dispatcher's handler on a real store: what was accepted counts, and what ends leaves nothing behind."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from metriq_gym.bus.memory import MemoryBus
from metriq_gym.bus.port import EXPORTER, POLLER, Delivery
from metriq_gym.bus.retry import CANCELLATION
from metriq_gym.errors import NotFound, Transient
from metriq_gym.jobs import JobState
from metriq_gym.jobs.changes import Accepted
from metriq_gym.service.pool import JOB_SECONDS
from metriq_gym.service.service import Context
from metriq_gym.settings import Settings
from metriq_gym.store import Store
from services.dispatcher import Dispatcher
from services.scorer import Scorer
from tests.support.inprocess import InlinePool
from tests.support.jobs import to

CONFIG = {"benchmark_name": "WIT", "num_qubits": 7, "shots": 10}
FIELDS = {"benchmark_name": "WIT", "provider": "local", "device": "aer_simulator", "target": "aer_simulator"}


@pytest.fixture
async def dispatcher(store: Store) -> AsyncIterator[Dispatcher]:
    async with MemoryBus(queues=[POLLER, EXPORTER]) as bus:
        yield Dispatcher(Context(Settings(), bus, store, InlinePool()))


def requested(job_id: str, **changes: Any) -> Delivery:
    body = {"job_id": job_id, "provider": "local", "device": "aer_simulator", "config": CONFIG, **changes}
    return Delivery("job.requested", json.dumps(body).encode())


def cancel(job_id: str, attempt: int = 1) -> Delivery:
    return Delivery("job.cancel_requested", json.dumps({"job_id": job_id}).encode(), postponed=attempt - 1)


async def abandoned(store: Store, job_id: str, **changes: Any) -> None:
    """A job whose dispatcher has crashed."""
    fields = {**FIELDS, "config": CONFIG, "seed": 1, **changes}
    await store.jobs.accept(job_id, Accepted.model_validate(fields), owner="crashed", lease_seconds=0)


@pytest.mark.parametrize(
    "changes",
    [{"device": "fake_manila"}, {"device": "gone"}, {"config": {"padding": "x" * 2**20}}],
    ids=["another device", "an unknown device", "a body over the limit"],
)
async def test_an_abandoned_job_is_taken_up_as_it_was_accepted(
    dispatcher: Dispatcher, store: Store, changes: dict[str, Any]
) -> None:
    await abandoned(store, "j")
    await dispatcher.handle(requested("j", **changes))
    job = await store.jobs.get("j")
    assert job.state is JobState.DISPATCHED
    assert job.device_metadata["noise"] == "none"


async def test_an_abandoned_job_whose_device_is_gone_ends(dispatcher: Dispatcher, store: Store) -> None:
    await abandoned(store, "j", target="gone")
    await dispatcher.handle(requested("j", device="gone"))
    job = await store.jobs.get("j")
    assert job.state is JobState.FAILED
    assert job.failure is not None
    assert "unknown device 'gone'" in job.failure.reason


async def test_a_cancellation_that_overtakes_its_request_is_tried_again(dispatcher: Dispatcher, store: Store) -> None:
    with pytest.raises(Transient):
        await dispatcher.handle(cancel("j"))
    await dispatcher.handle(requested("j"))
    await dispatcher.handle(cancel("j", attempt=2))
    assert (await store.jobs.get("j")).state is JobState.CANCELLED


async def test_a_request_that_comes_again_after_its_job_was_deleted_runs_nothing(
    dispatcher: Dispatcher, store: Store
) -> None:
    await dispatcher.handle(requested("j"))
    await dispatcher.handle(cancel("j"))
    await store.records.delete("j")
    await dispatcher.handle(requested("j"))
    with pytest.raises(NotFound):
        await store.jobs.get("j")
    assert await store.tasks.of_job("j") == []


async def test_a_job_that_is_deleted_while_it_is_built_leaves_no_open_task(
    dispatcher: Dispatcher, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_all = store.tasks.replace_all

    async def deleted_meanwhile(*args: Any) -> None:
        await dispatcher.handle(cancel("j"))
        await store.records.delete("j")
        await replace_all(*args)

    monkeypatch.setattr(store.tasks, "replace_all", deleted_meanwhile)
    with pytest.raises(NotFound):  # so it is delivered again
        await dispatcher.handle(requested("j"))
    await dispatcher.handle(requested("j"))
    assert set(await store.tasks.states("j")) == {"cancelled"}
    assert all(not task.circuits for task in await store.tasks.of_job("j"))


async def test_a_cancellation_of_what_never_was_is_not_tried_for_ever(dispatcher: Dispatcher) -> None:
    await dispatcher.handle(cancel("j", attempt=CANCELLATION.attempts))


async def test_a_job_that_is_cancelled_while_it_is_built_leaves_no_open_task_and_no_listing(
    dispatcher: Dispatcher, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_all = store.tasks.replace_all

    async def cancelled_meanwhile(*args: Any) -> None:
        await dispatcher.handle(cancel("j"))
        await store.listings.note("j", ["a"], 1)
        await replace_all(*args)

    monkeypatch.setattr(store.tasks, "replace_all", cancelled_meanwhile)
    await dispatcher.handle(requested("j"))
    assert (await store.jobs.get("j")).state is JobState.CANCELLED
    assert set(await store.tasks.states("j")) == {"cancelled"}
    assert all(not task.circuits for task in await store.tasks.of_job("j"))
    assert await store.listings.get("j") is None


async def test_counts_of_a_job_that_was_deleted_meanwhile_are_nothing_to_score(store: Store) -> None:
    async with MemoryBus(queues=[EXPORTER]) as bus:
        scorer = Scorer(Context(Settings(), bus, store, InlinePool()))
        await scorer.handle(Delivery("job.completed", b'{"job_id": "gone"}'))


class EndlessPool(InlinePool):
    """Ends whatever takes time."""

    async def run_within(self, seconds: float | None, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        assert seconds == JOB_SECONDS
        raise TimeoutError


async def test_a_job_whose_building_or_scoring_never_ends_fails_and_says_so(store: Store) -> None:
    async with MemoryBus(queues=[POLLER, EXPORTER]) as bus:
        context = Context(Settings(), bus, store, EndlessPool())
        await Dispatcher(context).handle(requested("built"))
        await abandoned(store, "scored")
        await store.jobs.move("scored", to(JobState.DISPATCHED), service="test")
        await store.jobs.move("scored", to(JobState.COMPLETED), service="test")
        await Scorer(context).handle(Delivery("job.completed", b'{"job_id": "scored"}'))
    failures = [(await store.jobs.get(job_id)).failure for job_id in ("built", "scored")]
    assert [failure and failure.reason for failure in failures] == [
        "building the circuits took longer than 20 min",
        "scoring the counts took longer than 20 min",
    ]
