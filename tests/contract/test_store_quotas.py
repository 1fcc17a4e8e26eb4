"""Places for a publisher's jobs: as many as there are, each for one job, and never lost."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from metriq_gym.jobs.changes import Accepted, Cancelled
from metriq_gym.store import Store

DAY = 86400.0


async def test_of_many_who_claim_at_once_as_many_get_a_place_as_there_are(store: Store) -> None:
    given = await asyncio.gather(*(store.quotas.claim("user a", [f"{n}"], 5, DAY) for n in range(12)))
    assert sum(given) == 5
    again = await asyncio.gather(*(store.quotas.claim("user a", [f"{n}"], 5, DAY) for n in range(12)))
    assert again == given
    assert await store.quotas.claim("user b", ["0"], 5, DAY)


async def test_several_places_are_claimed_together_or_not_at_all(store: Store) -> None:
    assert not await store.quotas.claim("user a", ["1", "2", "3"], 2, DAY)
    assert await store.quotas.claim("user a", ["1", "2"], 2, DAY)
    assert await store.quotas.claim("user a", ["2", "1"], 1, DAY)  # has them, whatever the quota is now
    assert not await store.quotas.claim("user a", ["2", "3"], 2, DAY)


async def test_a_place_is_free_once_its_job_has_ended_and_not_before(store: Store) -> None:
    assert await store.quotas.claim("user a", ["$j", "k"], 2, DAY)
    for each in ("$j", "k"):
        await store.jobs.accept(each, Accepted(provider="cloud"), owner="me", lease_seconds=30)
    assert not await store.quotas.claim("user a", ["next"], 2, 0)
    await store.jobs.move("$j", Cancelled(), service="test")
    assert await store.quotas.claim("user a", ["next"], 2, DAY)
    assert not await store.quotas.claim("user a", ["over"], 2, DAY)


async def test_a_place_whose_request_was_lost_is_kept_for_a_time(store: Store) -> None:
    assert await store.quotas.claim("user a", ["lost", "lost-too"], 2, DAY)
    assert not await store.quotas.claim("user a", ["next"], 2, DAY)
    assert await store.quotas.claim("user a", ["next"], 2, 0)


@pytest.mark.parametrize("odd", [None, "x", 7, {"id": "j"}, [None, "x", 7, {}, {"id": {"a": 1}}, {"id": "j"}]])
async def test_a_document_that_makes_no_sense_keeps_no_job_out(store: Store, database: Any, odd: Any) -> None:
    database.quotas.insert_one({"_id": "user a", "open": odd, "field of a later version": 1})
    assert await store.quotas.claim("user a", ["1", "2"], 2, 0)
    assert not await store.quotas.claim("user a", ["3"], 2, DAY)
    assert database.quotas.find_one()["field of a later version"] == 1
