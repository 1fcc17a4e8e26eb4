"""One odd value in any document of what services look through harms that document only, and is left as it is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from metriq_gym.bus.memory import MemoryBus
from metriq_gym.errors import UnreadableDocument
from metriq_gym.jobs import ExportState
from metriq_gym.jobs.notices import QUEUED, Notice
from metriq_gym.jobs.watched import Watched
from metriq_gym.messages import JobRequested
from metriq_gym.service import oddities
from metriq_gym.store import Store
from services.dispatcher.reconciler import LEASE, Reconciler

PAST = datetime.now(UTC).replace(microsecond=0) - timedelta(days=3)
ODD: dict[str, Any] = {
    "None": None,
    "text": "x",
    "below": -1,
    "NaN": float("nan"),
    "list": [],
    "document": {},
    "huge": 2**62,
    "gone": ...,
}
EXPORT = {"state": "pending", "attempts": 0, "at": PAST}
GOOD: dict[str, dict[str, Any]] = {
    "leases": {
        "_id": LEASE,
        "owner": "another",
        "token": 3,
        "taken_at": PAST,
        "expires_at": PAST,
        "looked_at": PAST,
        "steady_since": PAST,
        "noted": {},
    },
    "listings": {"_id": "gone", "ids": b"packed", "token": 1},
    "schedules": {"_id": "odd", "look_at": PAST, "looked_at": PAST, "revision": 1, "open": [], "ticks": []},
    "calibrations": {"_id": "odd", "device_id": "tyxonq/good", "at": PAST, "metadata": {}},
    "drifts": {"_id": "odd", "revision": 1, "since": {}, "values": {}, "untold": [], "to_notify": []},
    "notices": {
        "_id": "odd",
        "kind": QUEUED[0],
        "subject": "j",
        "at": PAST,
        "text": "held",
        "data": {},
        "to": {"webhook": EXPORT},
        "open": True,
        "queued_at": PAST,
        "number": 0,
    },
    "parked": {"_id": "ibm", "reason": "refused", "since": PAST, "expires_at": datetime(2200, 1, 1, tzinfo=UTC)},
    "devices": {"_id": "tyxonq/odd", "provider": "tyxonq", "device": "odd", "num_qubits": 1, "metadata": {}},
    "quotas": {"_id": "somebody", "open": [{"id": "j", "at": PAST}], "given": True},
}
REQUEST = JobRequested.model_validate(
    {"job_id": "s.1", "provider": "local", "device": "aer_simulator", "config": {}, "suite_id": "s"}
)


@pytest.fixture
async def store(mongo_url: str, mongo_database: str) -> AsyncIterator[Store]:
    oddities.heed()
    async with Store.at(mongo_url, mongo_database) as store:
        yield store


async def a_round(store: Store) -> None:
    """What services and commands look through, again and again."""
    async with MemoryBus() as bus:
        reconciler = Reconciler(store, bus, owner="me", unmoved_seconds=0, lease_seconds=5)
        await reconciler()
        await reconciler.take_up()
    await store.schedules.due()
    await store.schedules.all()
    await store.schedules.of_tick("t")
    await store.notices.held()
    await store.notices.waiting("webhook", QUEUED)
    await store.notices.standing()
    await store.drifts.to_notify()
    await store.drifts.change("odd", lambda _: None)
    await store.parked.all()
    await store.parked.away()
    await store.devices.all()
    await store.devices.calibrations("tyxonq", "good")
    await store.quotas.claim("another", ["k"], 1, 60)
    await store.clocks.noted(LEASE)
    await store.unreadable()


def spoilt(document: dict[str, Any], field: str, value: Any) -> dict[str, Any]:
    changed = deepcopy(document) | {field: value}
    if value is ...:
        del changed[field]
    return changed


@pytest.mark.parametrize("collection", GOOD)
async def test_one_odd_value_ends_no_round_of_any_service_or_command(store: Store, collection: str) -> None:
    documents, good = store._database[collection], GOOD[collection]
    for field in good.keys() - {"_id"}:
        for name, value in ODD.items():
            await store._database.leases.delete_many({})
            await documents.delete_many({})
            await documents.insert_one(spoilt(good, field, value))
            try:
                await a_round(store)
            except Exception as error:
                raise AssertionError(f"{field} {name} in {collection}") from error


async def test_an_odd_plan_of_a_suite_ends_no_round_stays_as_it_is_and_is_told_of(store: Store) -> None:
    plans = store._database.suites
    await store.suites.keep("s", [REQUEST], 60)
    good = await plans.find_one()
    for field in ("requests", "updated_at", "deadline_at"):
        for name, value in ODD.items():
            await plans.replace_one({"_id": "s"}, spoilt(good, field, value))
            before = await plans.find_one()
            await a_round(store)
            if name != "NaN":
                assert await plans.find_one() == before, (field, name)
            assert ("suites", "s") in {(each.collection, each.id) for each in await store.unreadable()}, (field, name)
    await plans.replace_one({"_id": "s"}, spoilt(good, "requests", b"no archive"))
    await a_round(store)
    with pytest.raises(UnreadableDocument, match="suite s"):
        await store.suites.plan("s")


async def test_a_lease_with_an_odd_token_is_nobodys_to_take_and_is_told_of(store: Store) -> None:
    leases, good = store._database.leases, GOOD["leases"]
    for field in ("token", "owner", "expires_at", "looked_at"):
        for name in ("list", "document", *(("text", "NaN", "below") if field == "token" else ())):
            await leases.delete_many({})
            await leases.insert_one(spoilt(good, field, ODD[name]))
            before = repr(await leases.find_one())
            assert await store.leases.take(LEASE, owner="me", lease_seconds=5) is None, (field, name)
            await a_round(store)
            assert repr(await leases.find_one()) == before, (field, name)
            assert ("leases", LEASE) in {(each.collection, each.id) for each in await store.unreadable()}
    await leases.delete_many({})
    await leases.insert_one(dict(good))
    assert await store.leases.take(LEASE, owner="me", lease_seconds=5) == 4


async def test_a_list_of_a_provider_that_cannot_be_read_is_said_to_be(store: Store) -> None:
    for name, value in ODD.items():
        await store._database.listings.replace_one({"_id": "j"}, spoilt({"_id": "j", "ids": b""}, "ids", value), True)
        with pytest.raises(UnreadableDocument, match="listings"):
            await store.listings.get("j")
        assert ("listings", "j") in {(each.collection, each.id) for each in await store.unreadable()}, name


async def test_what_services_write_is_told_of_by_nothing(store: Store) -> None:
    async with MemoryBus() as bus:
        for _ in range(2):
            await Reconciler(store, bus, owner="me", unmoved_seconds=0, lease_seconds=5)()
    await store.suites.keep("s", [REQUEST], 60)
    await store.listings.note("j", ["a"], 1)
    await store.devices.see("tyxonq", "good", num_qubits=1, simulator=False, status="online", metadata={"t1": [1.5]})
    await store.notices.add([Notice(id="n", kind=QUEUED[0], subject="j", at=PAST, text="held", data={"why": None})])
    assert await store.notices.claim("n", "webhook", 5)
    await store.notices.settle("n", "webhook", ExportState.FAILED, error="no")
    seen = Watched(id="w", since={"score": PAST}, values={"score": [(PAST, 0.5, None), (PAST, 1, 0.1)]})
    await store.drifts.change("w", lambda _: seen)
    assert await store.unreadable() == []
