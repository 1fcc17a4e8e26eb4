"""What the reconciler may rely on from the store, on a server and in memory."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from metriq_gym.errors import IllegalTransition, LeaseLost
from metriq_gym.jobs import ExportState, Failure, JobState
from metriq_gym.jobs.changes import Accepted, Rejected
from metriq_gym.messages import JobRequested
from metriq_gym.store import Store
from tests.support.jobs import to

LATE = Failure(outcome="error", reason="late", source="poll")


async def accepted(
    store: Store, job_id: str, *states: JobState, lease: float = 0, deadline: float | None = None
) -> None:
    fields = {"provider": "local", "device": "aer_simulator", "config": {}}
    await store.jobs.accept(
        job_id, Accepted.model_validate(fields), owner="me", lease_seconds=lease, deadline_seconds=deadline
    )
    for state in states:
        await store.jobs.move(job_id, to(state), service="test")


def make_older(database: Any) -> None:
    """Let everything have stood still for a minute."""
    for collection in (database.jobs, database.suites):
        collection.update_many({}, [{"$set": {"updated_at": {"$subtract": ["$updated_at", 60_000]}}}])


async def ids(jobs: Any) -> set[str]:
    return {job.id for job in await jobs}


class TestUnmoved:
    async def test_jobs_that_should_have_moved_are_returned_and_not_again_at_once(
        self, store: Store, database: Any
    ) -> None:
        await accepted(store, "held", lease=60)
        await accepted(store, "abandoned")
        await accepted(store, "waiting", JobState.DISPATCHED)
        await accepted(store, "ended", JobState.FAILED)
        assert await store.upkeep.unmoved(60) == []
        make_older(database)
        assert await ids(store.upkeep.unmoved(60)) == {"abandoned", "waiting"}
        await store.upkeep.checked(["abandoned"], 1)
        assert await ids(store.upkeep.unmoved(60)) == {"waiting"}

    async def test_who_begins_with_an_empty_queue_gets_all_there_is_to_do(self, store: Store, database: Any) -> None:
        await accepted(store, "abandoned")
        await accepted(store, "failed", JobState.FAILED)
        make_older(database)
        await store.upkeep.checked(["abandoned", "failed"], 1)
        assert await ids(store.upkeep.unfinished()) == {"abandoned", "failed"}

    async def test_what_there_is_to_do_comes_in_parts_by_id(self, store: Store) -> None:
        for name in ("d", "a", "c", "b"):
            await accepted(store, name, *([JobState.FAILED] if name == "c" else []))
        await accepted(store, "held", lease=60)
        first = await store.upkeep.unfinished(limit=3)
        assert [job.id for job in first] == ["a", "b", "c"]
        assert [job.id for job in await store.upkeep.unfinished(after="c", limit=3)] == ["d"]
        assert await store.upkeep.unfinished(after="d", limit=3) == []


class TestUnrecorded:
    async def test_an_end_is_to_be_recorded_until_every_export_has_ended(self, store: Store) -> None:
        await accepted(store, "j", JobState.CANCELLED)
        await store.exports.take_up("j", ["json", "github"], ["json", "github"])
        await store.exports.settle(["j"], "json", ExportState.DONE)
        assert await ids(store.upkeep.unrecorded(0)) == {"j"}
        assert await store.upkeep.unrecorded(60) == []
        await store.exports.settle(["j"], "github", ExportState.FAILED)
        assert await store.upkeep.unrecorded(0) == []

    async def test_a_result_and_a_rejection_are_not_ends_of_that_kind(self, store: Store) -> None:
        await accepted(store, "j", JobState.DISPATCHED, JobState.COMPLETED, JobState.SCORED)
        await store.jobs.reject(
            "r", Rejected.model_validate({"failure": {"outcome": "rejected", "reason": "bad", "source": "dispatch"}})
        )
        assert await store.upkeep.unrecorded(0) == []

    async def test_an_export_that_is_begun_anew_is_to_be_recorded_unless_it_is_done(self, store: Store) -> None:
        await accepted(store, "j", JobState.DISPATCHED, JobState.COMPLETED, JobState.SCORED)
        await store.exports.take_up("j", ["json"], ["json"])
        await store.exports.settle(["j"], "json", ExportState.DONE)
        await store.exports.again("j", "json")
        assert await store.upkeep.unrecorded(0) == []
        await store.exports.again("j", "github")
        assert await ids(store.upkeep.unrecorded(0)) == {"j"}
        await store.exports.settle(["j"], "github", ExportState.DONE)
        assert await store.upkeep.unrecorded(0) == []

    @pytest.mark.parametrize("state", [JobState.SCORED, JobState.CANCELLED])
    async def test_an_export_that_is_to_be_tried_again_later_is_left_to_that(
        self, store: Store, database: Any, state: JobState
    ) -> None:
        path = [JobState.DISPATCHED, JobState.COMPLETED] if state is JobState.SCORED else []
        await accepted(store, "j", *path, state)
        await store.exports.take_up("j", ["json"], ["json"])
        await store.exports.settle(["j"], "json", ExportState.PENDING, error="busy", retry_after=60)
        make_older(database)
        assert await store.upkeep.unmoved(0) + await store.upkeep.unrecorded(0) == []
        await store.exports.settle(["j"], "json", ExportState.PENDING, error="busy", retry_after=0)
        assert [job.id for job in await store.upkeep.unmoved(0) + await store.upkeep.unrecorded(0)] == ["j"]


class TestOverdue:
    @pytest.mark.parametrize("states", [(), (JobState.DISPATCHED,), (JobState.DISPATCHED, JobState.COMPLETED)])
    async def test_a_job_without_a_result_is_overdue_and_can_be_ended(
        self, store: Store, states: tuple[JobState, ...]
    ) -> None:
        await accepted(store, "j", *states, deadline=0, lease=60)
        assert await ids(store.upkeep.overdue()) == {"j"}
        job = await store.upkeep.expire("j", LATE, 1)
        assert (job.state, job.failure, job.history[-1].service) == (JobState.FAILED, LATE, "reconciler")
        assert await store.upkeep.overdue() == []

    async def test_a_held_job_is_overdue_too(self, store: Store) -> None:
        await accepted(store, "j", deadline=0, lease=60)
        await store.jobs.hold("j", 1, "look")
        assert await ids(store.upkeep.overdue()) == {"j"}
        assert (await store.upkeep.expire("j", LATE, 1)).held is None

    async def test_a_job_with_time_left_or_with_a_result_is_not(self, store: Store) -> None:
        await accepted(store, "early", deadline=60)
        await accepted(store, "scored", JobState.DISPATCHED, JobState.COMPLETED, JobState.SCORED, deadline=0)
        assert await store.upkeep.overdue() == []
        with pytest.raises(IllegalTransition):
            await store.upkeep.expire("scored", LATE, 1)

    async def test_a_dispatcher_that_takes_a_job_over_does_not_put_its_deadline_off(self, store: Store) -> None:
        await accepted(store, "j", deadline=0)
        await accepted(store, "j", deadline=60)
        assert await ids(store.upkeep.overdue()) == {"j"}


class TestLease:
    async def test_one_of_twenty_gets_it_and_keeps_it(self, store: Store) -> None:
        tokens = await asyncio.gather(
            *(store.leases.take("r", owner=f"d{number}", lease_seconds=60) for number in range(20))
        )
        assert [token for token in tokens if token is not None] == [1]
        (holder,) = [f"d{number}" for number, token in enumerate(tokens) if token]
        assert await store.leases.take("r", owner=holder, lease_seconds=60) == 1
        await store.leases.renew("r", 1, 60)

    async def test_one_that_was_taken_after_this_command_began_runs(self, store: Store) -> None:
        assert await store.leases.take("r", owner="a", lease_seconds=60) == 1
        later = [{"$set": {"taken_at": {"$add": ["$taken_at", 1000]}}}]
        await store.leases._leases.update_one({"_id": "r"}, later)
        assert await store.leases.take("r", owner="b", lease_seconds=60) is None

    async def test_one_that_ran_out_or_was_let_go_of_goes_to_the_next_with_a_higher_token(self, store: Store) -> None:
        for token, owner in enumerate(("a", "b", "b", "a"), start=1):
            assert await store.leases.take("r", owner=owner, lease_seconds=0) == token
        assert await store.leases.take("r", owner="c", lease_seconds=60) == 5
        with pytest.raises(LeaseLost):
            await store.leases.renew("r", 4, 60)

    async def test_a_reconciler_that_another_has_come_after_writes_nothing(self, store: Store, database: Any) -> None:
        await accepted(store, "j", deadline=0)
        await store.upkeep.checked(["j"], 2)
        before = database.jobs.find_one()
        with pytest.raises(LeaseLost):
            await store.upkeep.expire("j", LATE, 1)
        await store.upkeep.checked(["j"], 1)
        assert database.jobs.find_one() == before


class TestSuites:
    def requests(self, suite_id: str = "s") -> list[JobRequested]:
        config = {"benchmark_name": "WIT", "$set": {"a.b": "$x"}}
        names = [f"{suite_id}.001-a", f"{suite_id}.002-b"]
        return [
            JobRequested(job_id=name, suite_id=suite_id, provider="local", device="d", config=config) for name in names
        ]

    async def test_a_plan_is_returned_as_it_was_first_kept_until_it_is_finished(self, store: Store) -> None:
        await store.suites.keep("s", self.requests(), 60)
        await store.suites.keep("s", self.requests()[:1], 0)
        (plan,) = await store.suites.unfinished()
        assert (plan.id, list(plan.requests), plan.overdue) == ("s", self.requests(), False)
        await store.suites.finish("s", 1)
        assert await store.suites.unfinished() == []

    async def test_a_plan_that_was_looked_at_is_left_alone_for_a_while(self, store: Store, database: Any) -> None:
        await store.suites.keep("s", self.requests(), 0)
        assert await store.suites.unmoved(60) == []
        make_older(database)
        (plan,) = await store.suites.unmoved(60)
        assert plan.overdue
        await store.suites.checked("s", 1)
        assert await store.suites.unmoved(60) == []
        assert len(await store.suites.unfinished()) == 1

    async def test_a_reconciler_that_another_has_come_after_finishes_nothing(self, store: Store) -> None:
        await store.suites.keep("s", self.requests(), 60)
        await store.suites.checked("s", 2)
        await store.suites.finish("s", 1)
        assert len(await store.suites.unfinished()) == 1

    async def test_jobs_that_exist_or_were_deleted_have_been_seen(self, store: Store) -> None:
        for name in ("a", "b"):
            await accepted(store, name, JobState.FAILED)
        await store.records.delete("b")
        assert await store.jobs.unseen(["a", "b", "c"]) == ["c"]


class TestStanding:
    async def test_jobs_of_a_state_are_told_apart_by_the_time_they_have_been_in_it(
        self, store: Store, database: Any
    ) -> None:
        for job_id, minutes in (("now", 0), ("minutes", 5), ("hours", 300), ("days", 3000), ("more", 9000)):
            await accepted(store, job_id)
            at = {"$subtract": ["$updated_at", 60_000 * minutes]}
            history = [{"state": "dispatching", "at": at, "service": "test"}]
            database.jobs.update_one({"_id": job_id}, [{"$set": {"updated_at": at, "history": history}}])
        (counted,) = await store.catalogue.by_state()
        assert (counted.count, counted.ages) == (5, [1, 1, 1, 2])
        assert 9000 * 60 <= counted.oldest_seconds < 9001 * 60

    async def test_only_jobs_that_wait_for_nothing_stand_still(self, store: Store, database: Any) -> None:
        scored = (JobState.DISPATCHED, JobState.COMPLETED, JobState.SCORED)
        await accepted(store, "abandoned")
        await accepted(store, "in hands", lease=1000)
        await accepted(store, "held")
        await store.jobs.hold("held", 1, "look")
        for job_id in ("running", "forgotten"):
            await accepted(store, job_id, JobState.DISPATCHED)
            fields = {"job_id": job_id, "provider": "p", "device": "d", "run": 0, "first": 0, "circuit_count": 1}
            state = "submitted" if job_id == "running" else "completed"
            database.tasks.insert_one({"_id": f"{job_id}:0", "state": state, "shots": 1, "seed": 1, **fields})
        await accepted(store, "not scored", JobState.DISPATCHED, JobState.COMPLETED)
        await accepted(store, "not exported", *scored)
        await accepted(store, "waits for its suite", *scored)
        database.jobs.update_one({"_id": "waits for its suite"}, {"$set": {"suite_id": "s"}})
        await accepted(store, "stuck", *scored)
        await store.exports.take_up("stuck", ["json"], ["json"])
        await store.exports.settle(["stuck"], "json", ExportState.FAILED)
        await accepted(store, "ended", JobState.FAILED)
        assert await store.catalogue.standing_still(60) == []
        make_older(database)
        assert await ids(store.catalogue.standing_still(60)) == {
            "abandoned",
            "forgotten",
            "not scored",
            "not exported",
        }

    async def test_that_a_job_was_held_and_let_go_of_is_in_its_history_once(self, store: Store) -> None:
        await accepted(store, "j")
        await store.jobs.hold("j", 1, "look")
        for _ in range(2):
            await store.jobs.unhold("j")
        lines = [(each.state, each.service, each.cause) for each in (await store.jobs.get("j")).history]
        assert lines == [
            (JobState.DISPATCHING, "dispatcher", "requested"),
            (JobState.DISPATCHING, "dispatcher", "held: look"),
            (JobState.DISPATCHING, "operator", "no longer held"),
        ]
