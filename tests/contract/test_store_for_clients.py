"""What clients may rely on from the store: lists, short ids, records from outside, change streams; on both drivers."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from pymongo.errors import OperationFailure

from metriq_gym.errors import IllegalTransition, InvalidRequest, NotFound, Unavailable
from metriq_gym.jobs import ExportState, Job, JobState, Task, TaskState
from metriq_gym.jobs.changes import Accepted
from metriq_gym.store import Store
from metriq_gym.store.changes import Changes
from metriq_gym.store.jobs import Jobs
from metriq_gym.testing.memory import MemoryClient
from tests.support.jobs import to
from tests.support.patience import PATIENCE


async def accepted(store: Store, job_id: str, **fields: Any) -> Job:
    defaults = {"provider": "local", "device": "aer_simulator", "config": {}}
    return await store.jobs.accept(job_id, Accepted.model_validate(defaults | fields), owner="me", lease_seconds=60)


async def moved(store: Store, job_id: str, *states: JobState) -> None:
    for state in states:
        await store.jobs.move(job_id, to(state), service="test")


def task(n: int, job_id: str = "j", **fields: Any) -> Task:
    common = {"provider": "local", "device": "d", "run": 0, "circuit_count": 1, "shots": 1, "seed": 0}
    state = {"state": TaskState.STORED, "circuits": b"qpy"}
    return Task.model_validate({"_id": f"{job_id}:{n}", "job_id": job_id, "first": n, **common, **state, **fields})


def record(job_id: str, **fields: Any) -> Job:
    at = datetime(2025, 1, 15, 12, tzinfo=UTC)
    return Job.model_validate(
        {"_id": job_id, "state": "exported", "created_at": at, "updated_at": at, "imported": "{}", **fields}
    )


class TestCatalogue:
    async def test_lists_are_newest_first_and_filtered(self, store: Store) -> None:
        for name, device in (("a", "x"), ("b", "y"), ("c", "x")):
            await accepted(store, name, device=device)
        assert [job.id for job in await store.catalogue.find()] == ["c", "b", "a"]
        assert [job.id for job in await store.catalogue.find({"device": "x"})] == ["c", "a"]
        assert [job.id for job in await store.catalogue.find({"device": "x"}, limit=1)] == ["c"]

    async def test_the_beginning_of_an_id_finds_it_whatever_characters_it_has(self, store: Store) -> None:
        for name in ("night.1", "night.2", "nightX1"):
            await accepted(store, name)
        assert await store.catalogue.job_ids("night.", limit=5) == ["night.1", "night.2"]
        assert await store.catalogue.job_ids("night", limit=2) == ["night.1", "night.2"]
        assert await store.catalogue.job_ids("ight", limit=5) == []
        assert await store.catalogue.job_ids_of_suite("ni", "2", limit=5) == ["night.2"]
        assert await store.catalogue.job_ids_of_suite("night", "", limit=5) == ["night.1", "night.2"]
        assert await store.catalogue.job_ids_of_suite("ight", "1", limit=5) == []

    async def test_suites_are_listed_by_their_newest_job(self, store: Store) -> None:
        for name, suite in (("a", "s1"), ("b", "s2"), ("c", "s1"), ("d", None)):
            await accepted(store, name, suite_id=suite)
        assert await store.catalogue.suite_ids(limit=5) == ["s1", "s2"]
        assert await store.catalogue.suite_ids("s2", limit=5) == ["s2"]

    async def test_states_are_counted_with_the_age_of_the_oldest(self, store: Store) -> None:
        for name in ("a", "b", "c"):
            await accepted(store, name)
        await moved(store, "c", JobState.DISPATCHED)
        await asyncio.sleep(0.05)
        counted = await store.catalogue.by_state()
        assert [(each.state, each.count) for each in counted] == [(JobState.DISPATCHING, 2), (JobState.DISPATCHED, 1)]
        assert all(0.04 < each.oldest_seconds < PATIENCE for each in counted)

    async def test_overdue_tasks_are_counted_by_provider_and_leased_ones_are_not(self, store: Store) -> None:
        await store.tasks.insert([task(0), task(1), task(2, provider="tyxonq")])
        assert await store.catalogue.due() == []
        await store.tasks.release("j")
        await asyncio.sleep(0.05)
        local, remote = await store.catalogue.due()
        assert (local.provider, local.count, remote.provider, remote.count) == ("local", 2, "tyxonq", 1)
        assert 0.04 < local.lag_seconds < PATIENCE
        await store.tasks.claim("local", owner="me", limit=10, lease_seconds=60)
        assert [each.provider for each in await store.catalogue.due()] == ["tyxonq"]

    async def test_held_jobs_are_found_until_they_are_let_go(self, store: Store) -> None:
        await accepted(store, "a")
        await accepted(store, "b")
        await store.jobs.hold("a", 1, "look")
        assert [job.id for job in await store.catalogue.held()] == ["a"]
        await store.jobs.unhold("a")
        assert await store.catalogue.held() == []

    @pytest.mark.parametrize("states", [[], [JobState.DISPATCHED], [JobState.DISPATCHED, JobState.COMPLETED]])
    async def test_jobs_whose_message_was_given_up_are_found_in_any_state(
        self, store: Store, states: list[JobState]
    ) -> None:
        await accepted(store, "a")
        await moved(store, "a", *states)
        await store.troubles.give_up("a", "scorer", "a defect", hold_after=1)
        assert [job.id for job in await store.catalogue.held()] == ["a"]
        assert await store.catalogue.undecided_counts() == (1, 0)
        await store.troubles.forgive("a")
        assert await store.catalogue.held() == []

    async def test_a_job_that_is_held_stays_so_for_its_first_reason_when_more_of_its_messages_are_given_up(
        self, store: Store
    ) -> None:
        await accepted(store, "a")
        for reason in ("a defect", "beside one that ended its process"):
            await store.troubles.give_up("a", "scorer", reason, hold_after=1)
        job = await store.jobs.get("a")
        assert (job.held, job.given_up) == ("a defect", 2)
        assert [line.cause for line in job.history[-2:]] == ["a defect", "beside one that ended its process"]

    async def test_every_state_is_counted_even_that_of_no_job(self, store: Store) -> None:
        for name in ("a", "b", "c"):
            await accepted(store, name)
        await moved(store, "c", JobState.DISPATCHED)
        counts = await store.catalogue.state_counts()
        assert counts == dict.fromkeys(JobState, 0) | {JobState.DISPATCHING: 2, JobState.DISPATCHED: 1}

    async def test_jobs_that_wait_for_an_operator_are_counted_held_ones_and_stuck_ones(self, store: Store) -> None:
        for name in ("held", "stuck", "half", "pending", "begun", "told"):
            await accepted(store, name)
        await store.jobs.hold("held", 1, "look")
        for name in ("stuck", "half", "pending", "begun", "told"):
            await moved(store, name, JobState.DISPATCHED, JobState.COMPLETED, JobState.SCORED)
        for name in ("stuck", "half", "pending"):
            await store.exports.take_up(name, ["json", "github"], [])
            await store.exports.settle([name], "json", ExportState.FAILED, error="no")
        await store.exports.settle(["stuck"], "github", ExportState.FAILED, error="no")
        await store.exports.settle(["half"], "github", ExportState.DONE, location="here")
        # Who is told of a job besides is no place for its record.
        await store.exports.take_up("told", ["json", "webhook", "notify"], [])
        await store.exports.settle(["told"], "json", ExportState.FAILED, error="no")
        await store.exports.settle(["told"], "webhook", ExportState.DONE, location="there")
        assert await store.catalogue.undecided_counts() == (1, 2)
        assert sorted(job.id for job in await store.catalogue.stuck()) == ["stuck", "told"]

    async def test_tasks_are_outlined_without_what_is_large(self, store: Store) -> None:
        await store.tasks.insert([task(1, provider_job_id="p1"), task(0, provider_job_id="p0"), task(2, "k")])
        outline = await store.catalogue.outline("j")
        assert [(each.id, each.circuits) for each in outline] == [("j:0", b""), ("j:1", b"")]
        assert await store.catalogue.provider_job_ids(["j", "k"]) == {"j": ["p0", "p1"]}

    async def test_the_foremost_place_of_a_jobs_tasks_in_the_queue_is_told_while_they_wait(self, store: Store) -> None:
        soon = datetime(2026, 1, 1, tzinfo=UTC)
        waits = [task(n, state=TaskState.SUBMITTED, provider_job_id=f"p{n}") for n in range(3)]
        await store.tasks.insert([*waits, task(3, state=TaskState.COMPLETED)])
        assert await store.catalogue.next_start("j") is None
        await store.tasks.note_places({"j:0": (9, None), "j:1": (4, soon), "j:2": (None, None), "j:3": (1, soon)})
        assert await store.catalogue.next_start("j") == (4, soon)


class TestRecords:
    async def test_a_record_is_added_once_and_stays(self, store: Store) -> None:
        assert await store.records.add(record("a", app_version="1"))
        assert not await store.records.add(record("a", app_version="2"))
        assert (await store.jobs.get("a")).app_version == "1"

    async def test_a_record_can_be_replaced_and_a_job_of_the_services_cannot(self, store: Store) -> None:
        await store.records.add(record("a", app_version="1"))
        await store.records.replace(record("a", app_version="2"))
        assert (await store.jobs.get("a")).app_version == "2"
        await accepted(store, "ours")
        with pytest.raises(IllegalTransition, match="services"):
            await store.records.replace(record("ours"))

    @pytest.mark.parametrize("config", [{"x": 2**70}, {"a\0b": 1}, {"x": "y" * 17_000_000}])
    async def test_what_cannot_be_kept_is_refused_with_a_reason(self, store: Store, config: dict[str, Any]) -> None:
        with pytest.raises(InvalidRequest, match="cannot be stored"):
            await store.records.add(record("a", config=config))

    async def test_only_a_job_that_has_ended_can_be_deleted_and_its_tasks_go_with_it(self, store: Store) -> None:
        await accepted(store, "j")
        await store.tasks.insert([task(0), task(0, "k")])
        with pytest.raises(IllegalTransition, match="cancel it first"):
            await store.records.delete("j")
        await moved(store, "j", JobState.CANCELLED)
        await store.records.delete("j")
        with pytest.raises(NotFound):
            await store.jobs.get("j")
        assert await store.tasks.of_job("j") == []
        assert len(await store.tasks.of_job("k")) == 1
        with pytest.raises(NotFound):
            await store.records.delete("j")

    async def test_a_job_that_could_be_exported_nowhere_can_be_deleted(self, store: Store) -> None:
        await accepted(store, "j")
        await moved(store, "j", JobState.DISPATCHED, JobState.COMPLETED, JobState.SCORED)
        with pytest.raises(IllegalTransition):
            await store.records.delete("j")
        await store.exports.take_up("j", ["json"], [])
        await store.exports.settle(["j"], "json", ExportState.FAILED, error="no")
        await store.records.delete("j")
        with pytest.raises(NotFound):
            await store.jobs.get("j")

    async def test_the_id_of_a_deleted_job_of_the_services_stays_taken(self, store: Store) -> None:
        await accepted(store, "j")
        await moved(store, "j", JobState.CANCELLED)
        await store.records.add(record("r"))
        for name in ("j", "r"):
            assert not await store.records.is_deleted(name)
            await store.records.delete(name)
        assert await store.records.is_deleted("j")
        assert not await store.records.is_deleted("r")
        assert await store.records.add(record("r"))

    async def test_a_deleted_job_does_not_count_in_its_suite(self, store: Store) -> None:
        for name in ("a", "b", "c"):
            await accepted(store, name, suite_id="s", suite_size=3)
        await moved(store, "a", JobState.CANCELLED)
        await store.records.delete("a")
        assert [(job.id, job.suite_size) for job in await store.jobs.suite("s")] == [("b", 2), ("c", 2)]

    async def test_a_record_is_no_work_for_the_reconciler(self, store: Store) -> None:
        await store.records.add(record("a"))
        assert await store.upkeep.unfinished() == []


class TestChanges:
    async def test_a_job_is_followed_from_before_it_exists_with_each_task_that_ends(self, store: Store) -> None:
        seen: list[tuple[JobState, int]] = []
        tasks_seen = asyncio.Event()

        async def follow() -> None:
            async for job, tasks in store.changes.job("j"):
                done = tasks.get(TaskState.COMPLETED, 0)
                seen.append((job.state, done))
                if done == 2:
                    tasks_seen.set()

        following = asyncio.create_task(follow())
        await accepted(store, "j")
        await store.tasks.insert([task(0), task(1), task(0, "jj")])
        await moved(store, "j", JobState.DISPATCHED)
        for name in ("j", "jj"):
            await store.tasks.release(name)
        for claimed in await store.tasks.claim("local", owner="me", limit=10, lease_seconds=60):
            await store.tasks.complete(claimed, b"counts", None)
        await asyncio.wait_for(tasks_seen.wait(), PATIENCE)
        await moved(store, "j", JobState.COMPLETED, JobState.SCORED, JobState.EXPORTED)
        await asyncio.wait_for(following, PATIENCE)
        assert seen[-1] == (JobState.EXPORTED, 2)
        assert [done for _, done in seen] == sorted(done for _, done in seen)

    async def test_a_job_is_followed_with_each_task_that_its_provider_takes(self, store: Store) -> None:
        await accepted(store, "j")
        await store.tasks.insert([task(0), task(1)])
        stream = store.changes.job("j")
        assert (await anext(stream))[1] == {TaskState.STORED: 2}
        for each in await store.tasks.take_up("j", 1):
            await store.tasks.submitted(await store.tasks.intend(each), f"there-{each.id}")
        async with asyncio.timeout(PATIENCE):
            while (await anext(stream))[1] != {TaskState.SUBMITTED: 2}:
                pass
        await stream.aclose()

    async def test_following_a_job_that_has_ended_ends_at_once(self, store: Store) -> None:
        await accepted(store, "j")
        await moved(store, "j", JobState.CANCELLED)
        async with asyncio.timeout(PATIENCE):
            assert [job.state async for job, _ in store.changes.job("j")] == [JobState.CANCELLED]

    async def test_following_a_job_ends_when_it_is_held_for_an_operator(self, store: Store) -> None:
        await accepted(store, "j")
        stream = store.changes.job("j")
        assert (await anext(stream))[0].held is None
        await store.jobs.hold("j", 1, "look")
        async with asyncio.timeout(PATIENCE):
            assert [job.held async for job, _ in stream] == ["look"]

    async def test_following_a_job_that_is_deleted_says_so(self, store: Store) -> None:
        await accepted(store, "j")
        stream = store.changes.job("j", until=lambda job: False)
        await anext(stream)
        await moved(store, "j", JobState.CANCELLED)
        await anext(stream)
        await store.records.delete("j")
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(NotFound):
                await anext(stream)

    async def test_a_suite_is_followed_job_by_job(self, store: Store) -> None:
        stream = store.changes.suite("s")
        assert await anext(stream) == []
        await accepted(store, "s.1", suite_id="s")
        await accepted(store, "other", suite_id="t")
        async with asyncio.timeout(PATIENCE):
            assert [job.id for job in await anext(stream)] == ["s.1"]
            await moved(store, "s.1", JobState.DISPATCHED)
            assert [job.state for job in await anext(stream)] == [JobState.DISPATCHED]
        await stream.aclose()

    async def test_of_a_suite_that_is_followed_only_what_changed_is_read_again(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("s.1", "s.2", "s.3"):
            await accepted(store, name, suite_id="s")
        stream = store.changes.suite("s")
        assert [job.id for job in await anext(stream)] == ["s.1", "s.2", "s.3"]
        monkeypatch.delattr(Jobs, "suite")
        await moved(store, "s.2", JobState.DISPATCHED)
        async with asyncio.timeout(PATIENCE):
            jobs = await anext(stream)
        assert {job.id: job.state for job in jobs} == dict.fromkeys(("s.1", "s.3"), JobState.DISPATCHING) | {
            "s.2": JobState.DISPATCHED
        }
        await stream.aclose()

    async def test_what_changes_in_a_suite_while_nobody_asks_is_told(self, store: Store) -> None:
        names = [f"s.{number}" for number in range(20)]
        for name in names:
            await accepted(store, name, suite_id="s")
        stream = store.changes.suite("s")
        await anext(stream)
        for name in names:
            await moved(store, name, JobState.DISPATCHED)
        async with asyncio.timeout(PATIENCE):
            while {job.state for job in await anext(stream)} != {JobState.DISPATCHED}:
                pass
        await stream.aclose()

    async def test_following_a_suite_tells_what_was_heard_at_once_and_then_that_the_stream_broke(self) -> None:
        names = [f"s.{number}" for number in range(20)]

        class Breaking:
            heard = iter([{"documentKey": {"_id": name}} for name in names])

            async def __aenter__(self) -> Breaking:
                return self

            async def __aexit__(self, *_: object) -> None:
                pass

            async def next(self) -> dict[str, Any]:
                for each in self.heard:
                    return each
                raise OperationFailure("the cursor was killed", 237)

        store = Store(MemoryClient(), "metriq")
        for name in names:
            await accepted(store, name, suite_id="s")
        stream = Changes(SimpleNamespace(watch=lambda *_, **__: Breaking()), store.jobs, store.tasks).suite("s")
        assert {job.state for job in await anext(stream)} == {JobState.DISPATCHING}
        for name in names:
            await moved(store, name, JobState.DISPATCHED)
        assert {job.state for job in await anext(stream)} == {JobState.DISPATCHED}
        with pytest.raises(Unavailable, match="was killed"):
            await anext(stream)

    async def test_all_changes_of_jobs_are_told(self, store: Store) -> None:
        stream = store.changes.all()
        first = asyncio.ensure_future(anext(stream))
        for n in range(100):  # the stream opens some time after it was asked for
            await accepted(store, f"j{n}")
            await asyncio.wait({first}, timeout=0.1)
            if first.done():
                break
        assert (await first).id.startswith("j")
        await stream.aclose()

    async def test_what_came_after_an_event_is_told_up_to_the_last_one_wanted(self, server_store: Store) -> None:
        following = server_store.changes.events()
        async with asyncio.timeout(PATIENCE):
            assert (await anext(following)).kind == "opened"
            for name in ("a", "b", "c"):
                await accepted(server_store, name)
            first, _, last = [await anext(following) for _ in range(3)]
            await following.aclose()
            await server_store.tasks.insert([task(0, "c")])  # of which no event tells, but the stream goes on past it
            missed = server_store.changes.events(after=first.token, until=last.token)
            assert [event.id async for event in missed] == ["b", "c"]


async def test_ages_are_measured_by_the_server(store: Store) -> None:
    await accepted(store, "a")
    (counted,) = await store.catalogue.by_state()
    assert timedelta(seconds=counted.oldest_seconds) < timedelta(seconds=PATIENCE)
