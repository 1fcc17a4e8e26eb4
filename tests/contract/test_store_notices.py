"""What who tells of events may rely on from the store, on a server and in memory."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from metriq_gym.jobs import ExportState, JobState
from metriq_gym.jobs.changes import Accepted
from metriq_gym.jobs.notices import QUEUED, Notice
from metriq_gym.jobs.watched import Watched
from metriq_gym.store import Store
from tests.support.jobs import ended_job, to
from tests.support.telling import shift

AT = datetime(2026, 11, 20, 12, 34, 56, 789000, tzinfo=UTC)
HELD, *_ = QUEUED
ALL = list(QUEUED)


def notice(name: str, subject: str = "j", kind: str = HELD, **data: Any) -> Notice:
    return Notice(id=name, kind=kind, subject=subject, at=AT, text="a line", data={"$odd": "$word", **data})


async def waiting(store: Store, sender: str = "webhook") -> list[str]:
    return [each.id for each in await store.notices.waiting(sender, ALL)]


async def hold(store: Store, job_id: str = "j", reason: str = "why") -> None:
    job = await store.jobs.accept(job_id, Accepted(provider="local"), owner="d", lease_seconds=60)
    assert job.lease is not None
    await store.jobs.hold(job_id, job.lease.token, reason)


async def test_a_notice_is_written_once_and_comes_back_as_it_was(store: Store) -> None:
    await store.notices.add([notice("b", number=2**40, float=0.1), notice("a")])
    await store.notices.add([notice("b", other=1), notice("c")])
    assert await waiting(store) == ["b", "a", "c"]
    found = (await store.notices.waiting("webhook", ALL))[0]
    assert found.envelope() == notice("b", number=2**40, float=0.1).envelope()


async def test_each_sender_has_attempts_of_its_own(store: Store) -> None:
    await store.notices.add([notice("a")])
    assert await store.notices.claim("a", "webhook", 60)
    assert not await store.notices.claim("a", "webhook", 60)
    assert await store.notices.claim("a", "notify", 60)
    await store.notices.settle("a", "webhook", ExportState.PENDING, error="$away", retry_after=0)
    assert await store.notices.claim("a", "webhook", 60)
    await store.notices.settle("a", "webhook", ExportState.PENDING, error="its turn", retry_after=60, counts=False)
    assert not await store.notices.claim("a", "webhook", 60)
    await store.notices.settle("a", "notify", ExportState.DONE)
    assert (await waiting(store), await waiting(store, "notify")) == (["a"], [])
    (found,) = await store.notices.standing()
    assert {name: (each.state, each.attempts, each.error) for name, each in found.to.items()} == {
        "webhook": ("pending", 1, "its turn"),
        "notify": ("done", 1, None),
    }


async def test_an_attempt_that_is_being_made_is_not_begun_by_another(store: Store) -> None:
    await store.notices.add([notice("a")])
    assert await store.notices.claim("a", "webhook", 0)
    await store.notices.renew("a", "webhook", 60)
    assert not await store.notices.claim("a", "webhook", 60)
    await store.notices.settle("a", "webhook", ExportState.DONE)
    await store.notices.renew("a", "webhook", 0)
    assert not await store.notices.claim("a", "webhook", 60)


@pytest.mark.parametrize("ended", [ExportState.DONE, ExportState.FAILED])
async def test_what_has_ended_stays_so_and_is_closed_once_all_have(store: Store, ended: ExportState) -> None:
    await store.notices.add([notice("a")])
    assert await store.notices.waits("j", "webhook", ALL)
    assert not await store.notices.waits("k", "webhook", ALL)
    await store.notices.settle("a", "webhook", ended)
    await store.notices.settle("a", "webhook", ExportState.PENDING, error="late")
    assert not await store.notices.waits("j", "webhook", ALL)
    await store.notices.close(ALL, ALL, ["webhook", "notify"])
    assert await waiting(store, "notify") == ["a"]
    await store.notices.settle("a", "notify", ExportState.DONE)
    await store.notices.close(ALL, ALL, ["webhook", "notify"])
    await store.notices.add([notice("a")])
    assert (await waiting(store), await waiting(store, "another")) == ([], [])
    assert [each.id for each in await store.notices.standing()] == (["a"] if ended is ExportState.FAILED else [])


@pytest.mark.parametrize(("wanted", "senders"), [(["job.held"], []), ([], ["webhook"])])
async def test_what_nobody_wants_is_closed_but_for_what_a_later_version_tells(
    store: Store, wanted: list[str], senders: list[str]
) -> None:
    await store.notices.add([notice("a"), notice("b", kind="quota.exceeded")])
    await store.notices.close(ALL, wanted, senders)
    assert [each.id for each in await store.notices.standing()] == ["b"]


async def test_what_cannot_be_read_is_passed_over(store: Store, database: Any) -> None:
    await store.notices.add([notice("a"), notice("b")])
    database.notices.update_one({"_id": "a"}, {"$set": {"text": 7}})
    assert await waiting(store) == ["b"]


async def test_a_hold_is_written_down_once_each_time_that_the_job_comes_to_be_held(store: Store) -> None:
    await hold(store)
    await store.troubles.give_up("j", "dispatcher", "another", hold_after=1)
    (job,) = await store.notices.held()
    assert [(each.number, each.reason) for each in job.to_notify] == [(1, "why")]
    await store.jobs.unhold("j")
    await store.troubles.give_up("j", "poller", "$again", hold_after=2)
    (job,) = await store.notices.held()
    assert [(each.number, each.reason) for each in job.to_notify] == [(1, "why"), (2, "$again")]
    await store.notices.noted("j", job.to_notify[:1])
    (job,) = await store.notices.held()
    assert [each.number for each in job.to_notify] == [2]
    await store.jobs.move("j", to(JobState.FAILED), service="test")
    assert [each.number for each in (await store.jobs.get("j")).to_notify] == [2]  # the job goes on, and it is told
    await store.notices.noted("j", job.to_notify)
    assert (await store.notices.held(), (await store.jobs.get("j")).holds) == ([], 2)


async def test_a_letter_holds_no_job_that_needs_more_of_them_or_has_ended(store: Store) -> None:
    await store.jobs.accept("j", Accepted(provider="local"), owner="d", lease_seconds=60)
    await store.troubles.give_up("j", "dispatcher", "lethal", hold_after=3)
    await store.records.add(ended_job("over", state=JobState.EXPORTED))
    await store.troubles.give_up("over", "exporter", "a defect", hold_after=1)
    assert await store.notices.held() == []
    assert (await store.jobs.get("j")).holds == 0


async def test_series_with_shifts_to_be_told_are_found(store: Store) -> None:
    found = shift("d")
    await store.drifts.change("quiet", lambda _: Watched(id="quiet"))
    await store.drifts.change("s", lambda _: Watched(id="s", to_notify=[found]))
    assert [(each.id, each.to_notify) for each in await store.drifts.to_notify()] == [("s", [found])]


@pytest.mark.parametrize(("seconds", "set_back"), [(1, False), (3600, True)])
async def test_an_attempt_of_a_time_to_come_is_anothers_of_just_now_or_of_a_clock_set_back(
    store: Store, seconds: int, set_back: bool
) -> None:
    await store.notices.add([notice("a")])
    assert await store.notices.claim("a", "webhook", 60)
    later = {"$add": ["$to.webhook.at", 1000 * seconds]}
    await store.notices._notices.update_one({"_id": "a"}, [{"$set": {"to.webhook.at": later}}])
    assert await store.notices.claim("a", "webhook", 60) is set_back
