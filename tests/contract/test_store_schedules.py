"""Schedules in the store, on a server and in memory."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from metriq_gym.errors import UnreadableDocument
from metriq_gym.jobs.schedules import Schedule, Spent, Tick, TickState
from metriq_gym.messages import ScheduleRequested
from metriq_gym.store import Store

CONFIG = {"benchmark_name": "WIT", "a.b": {"$c": [1, None]}}


async def schedule(store: Store, name: str = "nightly", **fields: Any) -> Schedule:
    now = await store.catalogue.now()
    common = {"provider": "local", "device": "aer_simulator", "cron": "0 3 * * *", "config": CONFIG}
    asked = ScheduleRequested.model_validate({**common, "name": name})
    return Schedule.model_validate({"name": name, "asked": asked, "created_at": now, "next_at": now, **fields})


async def names(store: Store) -> list[str]:
    return [each.name for each in await store.schedules.due()]


async def test_a_schedule_is_read_as_it_was_written(store: Store) -> None:
    now = await store.catalogue.now()
    tick = Tick(at=now, id="j", state=TickState.HELD, reason="because", shots=2**53)
    spent = Spent(day="2026-01-01", shots=5)
    written = await schedule(store, open=[tick], ticks=[tick], spent=spent, changes=["r"], last_id="i")
    assert await store.schedules.add(written)
    assert await store.schedules.get("nightly") == written
    assert await store.schedules.all() == [written]
    assert not await store.schedules.add(written)


async def test_of_two_who_change_a_schedule_one_is_told_that_it_is_too_late(store: Store) -> None:
    await store.schedules.add(await schedule(store))
    one, other = await store.schedules.get("nightly"), await store.schedules.get("nightly")
    assert one is not None
    assert other is not None
    now = await store.catalogue.now()
    after = await store.schedules.write(one.with_(paused=True), now)
    assert after is not None
    assert after.paused
    assert await store.schedules.write(other.with_(last_id="x"), now) is None
    assert await store.schedules.write(after.with_(last_id="y"), now) is not None


async def test_what_a_later_version_has_written_beside_stays(store: Store, database: Any) -> None:
    await store.schedules.add(await schedule(store))
    database.schedules.update_one({"_id": "nightly"}, [{"$set": {"later": {"$literal": "$word"}}}])
    there = await store.schedules.get("nightly")
    assert there is not None
    assert await store.schedules.write(there.with_(paused=True)) is not None
    found = database.schedules.find_one()
    assert (found["later"], found["paused"]) == ("$word", True)


async def test_due_are_those_with_something_to_do_now(store: Store) -> None:
    now: datetime = await store.catalogue.now()
    hour = timedelta(hours=1)
    waiting = Tick(at=now - hour, id="j")
    cases: dict[str, dict[str, Any]] = {
        "due": {},
        "later": {"next_at": now + hour},
        "never": {"next_at": None},
        "paused": {"paused": True},
        "paused with a tick": {"paused": True, "open": [waiting]},
        "asked for": {"paused": True, "open": [waiting.model_copy(update={"manual": True})]},
        "put off": {"next_at": now + hour, "open": [waiting.model_copy(update={"again_at": now + hour})]},
    }
    for name, fields in cases.items():
        await store.schedules.add((await schedule(store, **fields)).with_(name=name))
    assert sorted(await names(store)) == ["asked for", "due"]


async def test_what_was_seen_by_a_clock_that_was_set_back_is_looked_at_again(store: Store) -> None:
    later = await store.catalogue.now() + timedelta(days=9)
    ahead = await schedule(store, next_at=later)
    await store.schedules.add(ahead)
    assert await names(store) == []
    await store.schedules.write(ahead, later)
    assert await names(store) == ["nightly"]


async def test_a_deleted_schedule_is_gone(store: Store) -> None:
    await store.schedules.add(await schedule(store))
    await store.schedules.delete("nightly")
    await store.schedules.delete("nightly")
    assert await store.schedules.get("nightly") is None


async def test_one_that_cannot_be_read_harms_no_other(store: Store, database: Any) -> None:
    database.schedules.insert_one({"_id": "broken", "look_at": await store.catalogue.now()})
    await store.schedules.add(await schedule(store))
    assert await names(store) == ["nightly"]
    with pytest.raises(UnreadableDocument):  # and not as if there were none, in whose place another could be put
        await store.schedules.get("broken")
